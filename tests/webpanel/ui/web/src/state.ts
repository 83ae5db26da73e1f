// What the page knows. The server holds the state: every (re)connect brings the whole of it.
import { computed, signal } from "@preact/signals";
import { call, problemOf } from "./api";
import type {
  Column,
  History,
  Live,
  PlatformStatus,
  ProblemDocument,
  State,
  Subscription,
  Whole,
  WrongSummary,
} from "./types";

export type View = "live" | "wrong" | "explore";
export const VIEWS: View[] = ["live", "wrong", "explore"];

const WRONG_SHOWN = 100;
const ACTIVE: State[] = ["starting", "running", "draining", "paused"];

export const view = signal<View>(viewOfHash());
export const connected = signal<boolean | null>(null);
export const loaded = signal(false);
export const target = signal({ host: "127.0.0.1", port: 8000 });
export const subscription = signal<Subscription | null>(null);
export const platform = signal<PlatformStatus | null>(null);
export const wrong = signal<WrongSummary[]>([]);
export const problem = signal<ProblemDocument | null>(null);
export const formOpen = signal(false);
export const closeOpen = signal(false);
export const helpOpen = signal(false);
/** Seconds that the charts show; 0 for all. */
export const chartWindow = signal(0);
/** Counts up when the history changes. */
export const historyVersion = signal(0);
export let history: History = { seconds_a_point: 1, columns: {} };

export const state = computed(() => subscription.value?.state ?? null);
export const active = computed(() => state.value !== null && ACTIVE.includes(state.value));

function viewOfHash(): View {
  const name = location.hash.slice(1) as View;
  return VIEWS.includes(name) ? name : "live";
}

window.addEventListener("hashchange", () => (view.value = viewOfHash()));

export function show(name: View): void {
  location.hash = name;
}

function setHistory(value: History | null): void {
  history = value ?? { seconds_a_point: 1, columns: {} };
  historyVersion.value++;
}

function addPoint(point: Record<string, number | null>): void {
  const columns = history.columns;
  const before = columns.at_ms?.length ?? 0;
  for (const name of new Set([...Object.keys(columns), ...Object.keys(point)])) {
    const column: Column = (columns[name] ??= new Array<null>(before).fill(null));
    column.push(point[name] ?? null);
  }
  historyVersion.value++;
}

/** Listens for good; the browser connects again by itself, or else we do. */
export function listen(): void {
  const source = new EventSource("/events");
  const on = <T>(name: string, act: (data: T) => void) =>
    source.addEventListener(name, (event) => act(JSON.parse((event as MessageEvent<string>).data)));
  source.onopen = () => (connected.value = true);
  source.onerror = () => {
    connected.value = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  };
  on<Whole>("whole", (whole) => {
    target.value = whole.target;
    subscription.value = whole.subscription;
    platform.value = whole.platform;
    wrong.value = whole.wrong;
    setHistory(whole.history);
    loaded.value = true;
  });
  on<Live>("counters", (live) => {
    const now = subscription.value;
    if (now?.id === live.id) subscription.value = { ...now, ...live };
  });
  on<Record<string, number | null>>("point", addPoint);
  on<History>("history", setHistory);
  on<WrongSummary>("wrong", (one) => {
    wrong.value = [one, ...wrong.value].slice(0, WRONG_SHOWN);
  });
  on<PlatformStatus>("platform", (status) => (platform.value = status));
}

/** Pause, resume or close; a refusal is shown. */
export async function steer(step: "pause" | "resume" | "close"): Promise<void> {
  const now = subscription.value;
  if (!now) return;
  try {
    subscription.value = await call<Subscription>(`/subscriptions/${now.id}/${step}`, "POST");
    problem.value = null;
  } catch (error) {
    problem.value = problemOf(error);
  }
}

export function download(format: "json" | "markdown"): void {
  const now = subscription.value;
  if (now) location.assign(`/subscriptions/${now.id}/report?format=${format}`);
}
