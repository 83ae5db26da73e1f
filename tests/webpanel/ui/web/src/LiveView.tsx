import { Charts } from "./Charts";
import { Banner, Problem } from "./parts";
import { RunBar } from "./RunBar";
import { StartForm } from "./StartForm";
import { platform, problem, subscription } from "./state";
import { Partitions, RequestTable } from "./Tables";
import { Tiles } from "./Tiles";
import { count, oneDecimal } from "./format";
import type { Subscription } from "./types";

export function LiveView() {
  const run = subscription.value;
  return (
    <>
      <Unreachable />
      {problem.value && <Problem problem={problem.value} />}
      {run ? (
        <>
          <Outcome run={run} />
          <RunBar run={run} />
          <Tiles run={run} />
          <Charts />
          <div class="tables">
            <RequestTable run={run} />
            <Partitions />
          </div>
        </>
      ) : (
        <Welcome />
      )}
    </>
  );
}

function Welcome() {
  return (
    <section class="welcome card">
      <h1>Start a subscription</h1>
      <p class="muted">
        The panel replays a seeded stream of user tags against the platform, asks queries whose
        answers it knows, and counts every request that is dropped and every answer that is wrong.
      </p>
      <StartForm />
    </section>
  );
}

function Unreachable() {
  const status = platform.value;
  if (!status || status.reachable) return null;
  return (
    <Banner kind="warn" title={`The platform at ${status.host}:${status.port} is not reachable`}>
      {status.error}. Start it with <code>make up</code>; this page notices by itself.
    </Banner>
  );
}

/** How it ended, if it has. */
function Outcome({ run }: { run: Subscription }) {
  const counters = run.counters;
  if (run.state === "broken") {
    return (
      <Banner kind="bad" title="The sending process broke down">
        The counters below are the last that it told; the stream has stopped.
        <pre tabIndex={0}>{run.error}</pre>
      </Banner>
    );
  }
  if (run.state === "closed") {
    return (
      <Banner kind="info" title="Closed before its end">
        {count(counters.tags.sent)} of {count(counters.total_tags)} tags were sent.
      </Banner>
    );
  }
  if (run.state !== "finished") return null;
  return counters.flawless ? (
    <Banner kind="ok" title="Finished without a flaw">
      Nothing dropped, nothing wrong: {oneDecimal(counters.score)} of 20,000.
    </Banner>
  ) : (
    <Banner kind="warn" title="Finished, with flaws">
      {count(counters.dropped)} requests dropped, {count(counters.wrong)} answers wrong:{" "}
      {oneDecimal(counters.score)} of 20,000.
    </Banner>
  );
}
