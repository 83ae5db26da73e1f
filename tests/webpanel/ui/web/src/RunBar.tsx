import { Icon } from "./Icon";
import { active, closeOpen, download, formOpen, steer } from "./state";
import { duration, figure, plainTime } from "./format";
import type { Subscription } from "./types";

/** What runs, and the buttons that steer it. */
export function RunBar({ run }: { run: Subscription }) {
  const { parameters, counters } = run;
  return (
    <section class="runbar card" aria-label="Subscription">
      <h1 class="unseen">Subscription</h1>
      <span class={`state ${run.state}`} data-testid="state">
        <i class="dot" />
        {run.state}
      </span>
      <dl class="facts">
        <Fact name="Target" value={`${parameters.host}:${parameters.port}`} />
        <Fact name="Rate" value={`${figure(parameters.rate)} tags/s`} />
        <Fact name="Length" value={duration(parameters.duration_s)} />
        <Fact name="Seed" value={String(parameters.seed)} />
        <Fact name="Event time from" value={plainTime(parameters.start)} />
      </dl>
      <div class="row end">
        {active.value ? (
          <>
            {run.state === "paused" ? (
              <button class="primary" onClick={() => void steer("resume")} title="P">
                <Icon name="play" /> Resume
              </button>
            ) : (
              <button onClick={() => void steer("pause")} disabled={run.state === "starting"} title="P">
                <Icon name="pause" /> Pause
              </button>
            )}
            <button onClick={() => (closeOpen.value = true)} title="C">
              <Icon name="stop" /> Close
            </button>
          </>
        ) : (
          <button class="primary" onClick={() => (formOpen.value = true)} title="N">
            <Icon name="plus" /> New subscription
          </button>
        )}
        <span class="joined" role="group" aria-label="Download the report">
          <button onClick={() => download("json")} title="R" aria-label="Report as JSON">
            <Icon name="down" /> Report
          </button>
          <button onClick={() => download("markdown")} title="Report as Markdown">
            Markdown
          </button>
        </span>
      </div>
      <progress max={100} value={counters.progress_percent} aria-label="Progress" />
    </section>
  );
}

const Fact = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);
