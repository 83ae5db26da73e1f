// Single keys that work anywhere but in a field or a dialog.
import {
  active,
  closeOpen,
  download,
  formOpen,
  helpOpen,
  show,
  state,
  steer,
  subscription,
  VIEWS,
} from "./state";
import { nextTheme } from "./theme";

export const SHORTCUTS: [string, string][] = [
  ["1 2 3", "Live, wrong answers, explore"],
  ["N", "New subscription"],
  ["P", "Pause or resume"],
  ["C", "Close the subscription"],
  ["R", "Download the report"],
  ["T", "Light, dark or as the system"],
  ["?", "This list"],
];

const actions: Record<string, () => void> = {
  n: () => {
    if (!active.value) {
      show("live");
      formOpen.value = true;
    }
  },
  p: () => void steer(state.value === "paused" ? "resume" : "pause"),
  c: () => {
    if (active.value) closeOpen.value = true;
  },
  r: () => {
    if (subscription.value) download("json");
  },
  t: nextTheme,
  "?": () => (helpOpen.value = true),
};

export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    const where = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (where.closest("input, select, textarea, dialog")) return;
    const name = VIEWS[Number(event.key) - 1];
    const act = name ? () => show(name) : actions[event.key.toLowerCase()];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}
