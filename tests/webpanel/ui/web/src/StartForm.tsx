import { useSignal } from "@preact/signals";
import { call, problemOf } from "./api";
import { Icon } from "./Icon";
import { Problem } from "./parts";
import { count, isoTime, TIME_PATTERN } from "./format";
import { formOpen, problem as lastProblem, subscription, target } from "./state";
import type { ProblemDocument, Subscription } from "./types";

const KEY = "web-panel-form";

interface Fields {
  host: string;
  port: string;
  rate: string;
  seed: string;
  minutes: string;
  step: string;
  start: string;
}

function initial(): Fields {
  const before = subscription.peek()?.parameters;
  const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Fields>;
  return {
    rate: "200",
    seed: "1",
    minutes: "4",
    step: "",
    ...stored,
    host: before?.host ?? target.peek().host,
    port: String(before?.port ?? target.peek().port),
    start: "",
  };
}

/** Parameters of a new subscription. The server has the last word on what is allowed. */
export function StartForm({ autofocus }: { autofocus?: boolean }) {
  const fields = useSignal<Fields>(initial());
  const problem = useSignal<ProblemDocument | null>(null);
  const busy = useSignal(false);
  const now = fields.value;

  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    problem.value = null;
    try {
      const started = await call<Subscription>("/subscriptions", "POST", {
        host: now.host,
        port: Number(now.port),
        rate: Number(now.rate),
        seed: Number(now.seed),
        duration_s: Number(now.minutes) * 60,
        ...(now.step && { step_ms: Number(now.step) }),
        ...(now.start && { start: `${isoTime(now.start)}Z` }),
      });
      const { host: _host, port: _port, start: _start, ...kept } = now;
      localStorage.setItem(KEY, JSON.stringify(kept));
      subscription.value = started;
      lastProblem.value = null;
      formOpen.value = false;
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      busy.value = false;
    }
  };

  const field = (
    name: keyof Fields,
    label: string,
    hint: string,
    attributes: Record<string, string | number | boolean> = {},
  ) => (
    <label class={name}>
      <span>{label}</span>
      <input
        name={name}
        value={now[name]}
        aria-invalid={problem.value?.field?.startsWith(name) || undefined}
        onInput={(event) => (fields.value = { ...fields.peek(), [name]: event.currentTarget.value })}
        {...attributes}
      />
      <small>{hint}</small>
    </label>
  );
  const number = { type: "number", required: true, inputMode: "decimal" };
  const tags = Number(now.rate) * Number(now.minutes) * 60;

  return (
    <form class="start" onSubmit={(event) => void submit(event)}>
      <div class="fields">
        {field("host", "Host", "of the platform", { required: true, autofocus: autofocus ?? false })}
        {field("port", "Port", "8000 by default", { ...number, min: 1, max: 65535 })}
        {field("rate", "Rate (tags/s)", "queries come on top", { ...number, min: 0.1, max: 5000, step: "any" })}
        {field("minutes", "Length (minutes)", "a full day is 1,440", { ...number, min: 0.05, max: 10080, step: "any" })}
        {field("seed", "Seed", "same seed, same tags", { ...number, min: 0, step: 1 })}
      </div>
      <details>
        <summary>Event time</summary>
        <div class="fields">
          {field("step", "Step (ms)", "between two tags; default: as fast as the clock", { type: "number", min: 1, step: "any" })}
          {field("start", "Start (UTC)", "default: after the newest stored tag", { pattern: TIME_PATTERN, placeholder: "2022-03-01 00:00" })}
        </div>
      </details>
      {problem.value && <Problem problem={problem.value} />}
      <div class="row">
        <button class="primary" type="submit" disabled={busy.value}>
          <Icon name="play" />
          {busy.value ? "Starting…" : "Start subscription"}
        </button>
        {tags > 0 && (
          <span class="muted">
            {count(tags)} tags and {count(tags / 10)} profile queries
          </span>
        )}
      </div>
    </form>
  );
}
