import { useSignal } from "@preact/signals";
import { Chart, type Series } from "./Chart";
import { count, figure } from "./format";
import { Choice } from "./parts";
import { chartWindow, history, historyVersion, platform, subscription } from "./state";
import type { Column, Counters, Requests } from "./types";

const KINDS = [
  ["user_tags", "Tags"],
  ["user_profiles", "Profiles"],
  ["aggregates", "Aggregates"],
] as const;
const DROPS = [
  ["status_5xx", "5xx", "bad"],
  ["status_4xx", "4xx", "orange"],
  ["status_other", "other status", "brown"],
  ["read_timeout", "time-out", "violet"],
  ["connect", "connect", "pink"],
  ["other", "other", "grey"],
] as const;
const LAG_COLOURS = ["blue", "teal", "violet", "orange", "pink", "brown"];
const WINDOWS = [
  [60, "1 min"],
  [300, "5 min"],
  [0, "All"],
] as const;

const column = (name: string): Column => history.columns[name] ?? [];
const latest = (name: string) => column(name).at(-1);

function sum(names: string[]): Column {
  const columns = names.map(column);
  return (columns[0] ?? []).map((_, at) => columns.reduce((all, one) => all + (one[at] ?? 0), 0));
}

export function Charts() {
  const kind = useSignal<string>("user_tags");
  void historyVersion.value;
  const counters = subscription.value?.counters;
  if (!counters) return null;
  const sent = sum(KINDS.map(([name]) => `${name}_sent`));
  return (
    <>
      <div class="row heading">
        <h2>Over time</h2>
        <Choice label="Time shown" options={WINDOWS} value={chartWindow.value} onChange={(value) => (chartWindow.value = value)} />
      </div>
      <section class="charts" aria-label="Charts">
        <Chart
          title="Requests"
          unit="a second"
          series={[
            { name: "sent", colour: "blue", data: sent, shown: figure(sent.at(-1)) },
            { name: "answered", colour: "teal", data: column("answered"), shown: figure(latest("answered")), fill: true },
          ]}
        />
        <Chart
          title="Latency"
          unit="ms"
          series={[
            latency(kind.value, 99, "violet"),
            latency(kind.value, 90, "blue"),
            latency(kind.value, 50, "teal"),
          ]}
        >
          <Choice label="Latency of" options={KINDS} value={kind.value} onChange={(value) => (kind.value = value)} />
        </Chart>
        <Chart
          title="Dropped"
          unit="a second"
          bars
          quiet={counters.dropped === 0 ? "nothing dropped" : undefined}
          series={DROPS.map(([key, name, colour]) => ({
            name,
            colour,
            data: column(`dropped_${key}`),
            shown: count(causes(counters, key)),
          })).filter((one) => counters.dropped === 0 || one.shown !== "0")}
        />
        <Chart title="Profile answers" unit="a second" series={answers("profiles", counters.profile_answers)} />
        <Chart title="Aggregate answers" unit="a second" bars series={answers("aggregates", counters.aggregate_answers)} />
        <Chart
          title="Lag by partition"
          unit="tags"
          quiet={platform.value?.partitions ? undefined : "the platform does not tell"}
          series={lags()}
        />
      </section>
    </>
  );
}

function latency(kind: string, percent: number, colour: string): Series {
  const name = `${kind}_p${percent}_ms`;
  return { name: `p${percent}`, colour, data: column(name), shown: figure(latest(name)) };
}

/** Requests of all kinds that ended so; the rest of the dropped have another status than due. */
function causes(counters: Counters, key: (typeof DROPS)[number][0]): number {
  const kinds: Requests[] = [counters.tags, counters.profiles, counters.aggregates];
  const total = (name: keyof Requests) => kinds.reduce((all, one) => all + one[name], 0);
  if (key !== "status_other") return total(key);
  return DROPS.reduce((rest, [name]) => (name === key ? rest : rest - total(name)), counters.dropped);
}

function answers(kind: "profiles" | "aggregates", verdicts: Counters["profile_answers"]): Series[] {
  return [
    { name: "right", colour: "ok", data: column(`${kind}_ok`), shown: count(verdicts.ok), fill: true },
    { name: "wrong", colour: "bad", data: column(`${kind}_wrong`), shown: count(verdicts.wrong), fill: true },
    { name: "empty", colour: "warn", data: column(`${kind}_empty`), shown: count(verdicts.empty), fill: true },
  ];
}

function lags(): Series[] {
  return Object.keys(history.columns)
    .filter((name) => name.startsWith("lag_"))
    .map((name, at) => ({
      name: `partition ${name.slice(4)}`,
      colour: LAG_COLOURS[at % LAG_COLOURS.length]!,
      data: column(name),
      shown: figure(latest(name)),
    }));
}
