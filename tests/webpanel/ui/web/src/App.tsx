import { CloseDialog, HelpDialog, StartDialog } from "./Dialogs";
import { Explore } from "./Explore";
import { Header } from "./Header";
import { LiveView } from "./LiveView";
import { Banner } from "./parts";
import { connected, loaded, state, view, wrong } from "./state";
import { WrongView } from "./WrongView";

export function App() {
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById("main")?.focus();
      }}>
        Skip to content
      </a>
      <Header />
      {connected.value === false && (
        <Banner kind="bad" title="The panel's server does not answer">
          Connecting again… A subscription that it ran has ended with it. Start it with{" "}
          <code>make panel-ui</code>.
        </Banner>
      )}
      <main id="main" tabIndex={-1}>
        {!loaded.value ? (
          <p class="empty">Connecting…</p>
        ) : view.value === "live" ? (
          <LiveView />
        ) : view.value === "wrong" ? (
          <WrongView />
        ) : (
          <Explore />
        )}
      </main>
      <p class="unseen" role="status">
        {state.value && `Subscription ${state.value}.`}
        {wrong.value.length > 0 && " There are wrong answers."}
      </p>
      <StartDialog />
      <CloseDialog />
      <HelpDialog />
    </>
  );
}
