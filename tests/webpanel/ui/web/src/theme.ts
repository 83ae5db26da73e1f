// Light or dark: as the system says, until the user chooses.
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const ORDER: Theme[] = ["system", "light", "dark"];
const KEY = "web-panel-theme";
const stored = localStorage.getItem(KEY) as Theme | null;

export const theme = signal<Theme>(stored && ORDER.includes(stored) ? stored : "system");
/** Counts up when colours change: canvases must be painted again. */
export const paint = signal(0);

effect(() => {
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  localStorage.setItem(KEY, theme.value);
  paint.value = paint.peek() + 1;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint.value++);

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? "system";
}

/** The colour that a CSS variable stands for now; canvases do not know variables. */
export function colour(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
