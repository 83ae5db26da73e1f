"""The load of a fault run, in its own process so that nothing delays it.

Prints a line of JSON ten times a second. When its standard input is closed it ends the stream,
sends the queries still due, and writes the outcome of each tag and the Web Panel's report.
"""

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.faults.outcome import outcome_of
from tests.webpanel.connections import Failure
from tests.webpanel.ledger import TAG, Ledger
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.report import report
from tests.webpanel.subscription import Subscription

_EVERY_S = 0.1


def line_of(ledger: Ledger, at_s: float) -> dict[str, Any]:
    """The fields of a `tests.faults.running_load.Sample`."""
    counters = ledger.counters
    return {
        "at_s": at_s,
        "state": counters.state,
        "sent": counters.tags.sent,
        # Without aggregates: by contract they may be a minute late.
        "dropped": counters.tags.dropped + counters.profiles.dropped,
        "tags_5xx": counters.tags.status_5xx,
        "timed_out": counters.tags.read_timeout + counters.profiles.read_timeout,
        "wrong": counters.wrong,
        "p99_ms": ledger.recent(1)[TAG].percentile_ms(99),
        "profiles_asked": counters.profiles.sent,
        "profiles_right": counters.profile_answers.ok,
        "profiles_unanswered": counters.profile_answers.unanswered,
        "aggregates_asked": counters.aggregates.sent,
        "aggregates_right": counters.aggregate_answers.ok,
        "aggregates_unanswered": counters.aggregate_answers.unanswered,
    }


async def _show(subscription: Subscription) -> None:
    while True:
        print(json.dumps(line_of(subscription.ledger, time.monotonic())), flush=True)
        await asyncio.sleep(_EVERY_S)


async def _run(options: SubscriptionOptions, folder: Path) -> None:
    outcomes = bytearray(options.total_tags)

    def on_tag(index: int, answer: int | Failure) -> None:
        outcomes[index] = outcome_of(answer)

    subscription = Subscription(options, on_tag=on_tag)
    gc.collect()
    gc.freeze()
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), told.set)
    await subscription.start()
    shown = loop.create_task(_show(subscription))
    over = loop.create_task(subscription.wait())
    finish = loop.create_task(told.wait())
    await asyncio.wait((over, finish), return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(sys.stdin.fileno())
    if not over.done():
        subscription.finish()
    finish.cancel()
    await over
    shown.cancel()
    await subscription.close()
    (folder / "outcomes").write_bytes(outcomes)
    (folder / "report.json").write_text(json.dumps(report(subscription), indent=1) + "\n")


def main() -> None:
    """Arguments: the options as JSON, the output folder."""
    options = SubscriptionOptions(**json.loads(sys.argv[1]))
    uvloop.run(_run(options, Path(sys.argv[2])))


if __name__ == "__main__":
    main()
