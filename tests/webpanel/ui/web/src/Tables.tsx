import { count, figure, plainTime } from "./format";
import { history, historyVersion, platform } from "./state";
import type { Requests, Subscription } from "./types";

const KINDS = [
  ["tags", "user_tags", "User tags"],
  ["profiles", "user_profiles", "Profiles"],
  ["aggregates", "aggregates", "Aggregates"],
] as const;
const COLUMNS: [keyof Requests, string][] = [
  ["sent", "sent"],
  ["status_2xx", "2xx"],
  ["status_4xx", "4xx"],
  ["status_5xx", "5xx"],
  ["status_other", "other"],
  ["connect", "connect"],
  ["read_timeout", "time-out"],
  ["other", "other"],
  ["dropped", "dropped"],
];
/** Behind its schedule by more than this, the sender spoils what it measures. */
const LATE_MS = 50;
const FINE = ["sent", "status_2xx"];

/** Every counter of the contract, and the latencies of the last second. */
export function RequestTable({ run }: { run: Subscription }) {
  void historyVersion.value;
  const latest = (name: string) => history.columns[name]?.at(-1);
  return (
    <section class="card scroll">
      <h2>Requests</h2>
      <table>
        <thead>
          <tr>
            <th rowSpan={2}>kind</th>
            <th rowSpan={2}>sent</th>
            <th colSpan={4} class="group">responses</th>
            <th colSpan={3} class="group">exceptions</th>
            <th rowSpan={2}>dropped</th>
            <th colSpan={3} class="group">last second, ms</th>
          </tr>
          <tr>
            {COLUMNS.slice(1, 8).map(([key, title]) => (
              <th key={key}>{title}</th>
            ))}
            <th>p50</th>
            <th>p90</th>
            <th>p99</th>
          </tr>
        </thead>
        <tbody>
          {KINDS.map(([key, kind, title]) => (
            <tr key={key}>
              <th>{title}</th>
              {COLUMNS.map(([name]) => {
                const value = run.counters[key][name];
                const tone = value === 0 ? "zero" : FINE.includes(name) ? "" : "bad";
                return <td key={name} class={tone}>{count(value)}</td>;
              })}
              {[50, 90, 99].map((p) => (
                <td key={p}>{figure(latest(`${kind}_p${p}_ms`))}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {run.sender && (
        <p class="muted">
          The sender itself: {run.sender.cores.toFixed(2)} of a core, behind its schedule by{" "}
          {figure(run.sender.lag_p99_ms)} ms (p99) and {figure(run.sender.lag_max_ms)} ms (max).
          {run.sender.lag_p99_ms > LATE_MS && (
            <b class="late"> This machine is too busy to send on time; latencies hold that delay.</b>
          )}
        </p>
      )}
    </section>
  );
}

/** What the actors say of their partitions. */
export function Partitions() {
  const status = platform.value;
  return (
    <section class="card scroll">
      <h2>Partitions</h2>
      {status?.partitions ? (
        <table>
          <thead>
            <tr>
              <th>no.</th>
              <th class="text">state</th>
              <th>lag</th>
              <th>offset</th>
              <th>last flush</th>
              <th class="text">watermark</th>
            </tr>
          </thead>
          <tbody>
            {status.partitions.map((one) => (
              <tr key={one.partition}>
                <th>{one.partition}</th>
                <td class="text">
                  <span class="state small" title={one.error ?? undefined}>
                    <i class={`dot ${one.state === "running" ? "ok" : "bad"}`} />
                    {one.state}
                  </span>
                </td>
                <td>{one.lag === null ? "–" : count(one.lag)}</td>
                <td>{one.offset === null ? "–" : count(one.offset)}</td>
                <td>{figure(one.last_flush_ms, "ms")}</td>
                <td class="text">{plainTime(one.watermark)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p class="empty">
          {status ? (status.error ?? "Nothing is told.") : "Asking /case3/status…"}
        </p>
      )}
    </section>
  );
}
