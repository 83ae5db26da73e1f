import "uplot/dist/uPlot.min.css";
import "./style.css";
import { render } from "preact";
import { App } from "./App";
import { listenToKeys } from "./shortcuts";
import { listen } from "./state";

listen();
listenToKeys();
render(<App />, document.getElementById("page")!);
