import type { ComponentChildren } from "preact";
import { count, duration, figure, oneDecimal, percent } from "./format";
import { history, historyVersion } from "./state";
import type { Subscription } from "./types";

const ENOUGH_MS = 200;

/** The figures that matter most. */
export function Tiles({ run }: { run: Subscription }) {
  const { counters, parameters } = run;
  void historyVersion.value; // the latest point is part of what is shown
  const latest = (name: string) => history.columns[name]?.at(-1);
  const asked = counters.profile_answers.ok + counters.aggregate_answers.ok + counters.wrong > 0;
  const requests = counters.tags.sent + counters.profiles.sent + counters.aggregates.sent;
  const left = Math.max(0, parameters.duration_s - counters.elapsed_s);
  const p99 = latest("user_tags_p99_ms");
  return (
    <section class="tiles" aria-label="Main figures">
      <Tile
        name="Score"
        value={oneDecimal(counters.score)}
        note={`of ${count(200 * counters.progress_percent)} possible so far`}
      />
      <Tile
        name="Progress"
        value={percent(counters.progress_percent)}
        note={`${duration(counters.elapsed_s)} run, ${left > 0 ? `${duration(left)} left` : "all sent"}`}
      />
      <Tile
        name="Tags sent"
        value={count(counters.tags.sent)}
        note={`${figure(latest("user_tags_sent"))} a second`}
      />
      <Tile
        name="Dropped"
        value={count(counters.dropped)}
        kind={counters.dropped ? "bad" : requests ? "ok" : ""}
        note={`of ${count(requests)} requests`}
      />
      <Tile
        name="Wrong answers"
        value={count(counters.wrong)}
        kind={counters.wrong ? "bad" : asked ? "ok" : ""}
        note={
          <>
            {right("profiles", counters.profile_answers.ok, counters.profiles_right_percent)},{" "}
            {right("aggregates", counters.aggregate_answers.ok, counters.aggregates_right_percent)}
          </>
        }
      />
      <Tile
        name="Tags, p99"
        value={figure(p99)}
        unit="ms"
        kind={p99 !== null && p99 !== undefined && p99 > ENOUGH_MS ? "bad" : ""}
        note={`p50 ${figure(latest("user_tags_p50_ms"))} ms, last second`}
      />
    </section>
  );
}

const right = (name: string, ok: number, share: number) =>
  ok || share ? `${name} ${percent(share)} right` : `no ${name} yet`;

interface TileProps {
  name: string;
  value: string;
  unit?: string;
  note: ComponentChildren;
  kind?: string;
}

const Tile = ({ name, value, unit, note, kind = "" }: TileProps) => (
  <div class={`tile card ${kind}`} data-testid={name}>
    <h2>{name}</h2>
    <p class="big">
      {value}
      {unit && value !== "–" && <small> {unit}</small>}
    </p>
    <p class="muted">{note}</p>
  </div>
);
