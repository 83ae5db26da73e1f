"""The terminal front end: options, the live line, the summary, the report, the exit status."""

import argparse
import asyncio
import gc
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import uvloop

from tests.webpanel.eventtime import parse_event_time, tag_time
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.progress import show
from tests.webpanel.report import report, summary
from tests.webpanel.subscription import Subscription


def _parser() -> argparse.ArgumentParser:
    default = SubscriptionOptions()
    parser = argparse.ArgumentParser(
        prog="webpanel",
        description="Replay a seeded stream of user tags and judge the server's answers.",
        epilog="TAGS_API_TOKEN in the environment is sent as bearer token.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default=default.host)
    add("--port", type=int, default=default.port)
    add("--rate", type=float, default=default.rate, help="user tags a second")
    add("--duration", type=float, default=default.duration_s, help="of the stream, in seconds")
    add("--max-tags", type=int, default=None, help="end the stream after this many tags")
    add("--seed", type=int, default=default.seed, help="the same seed gives the same tags")
    add("--step", type=float, default=default.step_ms, help="ms of event time between two tags")
    add("--start", default=tag_time(default.start_ms), help="event time of the first tag (ISO)")
    add("--profile-lag", type=float, default=default.profile_lag_s, help="seconds")
    add("--aggregate-lag", type=float, default=default.aggregate_lag_s, help="seconds")
    add(
        "--aggregate-interval",
        type=float,
        default=default.aggregate_interval_s,
        help="minimum seconds between two aggregate queries",
    )
    add("--tag-timeout", type=float, default=default.request_timeout_s, help="seconds")
    add("--connections", type=int, default=default.connections, help="maximum of open connections")
    add(
        "--watched",
        type=int,
        default=default.watched_cookies,
        help="maximum of cookies to query",
    )
    add(
        "--drain",
        choices=("yes", "no"),
        default="yes",
        help="after the stream, send the queries that cover its last tags",
    )
    add("--no-debug", action="store_true", help="send queries with an empty body")
    add("--report", type=Path, default=None, metavar="FILE.json", help="write a JSON report")
    add("--quiet", action="store_true", help="print the summary only")
    return parser


def parse_options(
    arguments: list[str] | None = None,
) -> tuple[SubscriptionOptions, argparse.Namespace]:
    """The subscription's options and the parsed arguments; exits with 2 on invalid ones."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        options = SubscriptionOptions(
            host=given.host,
            port=given.port,
            rate=given.rate,
            duration_s=given.duration,
            seed=given.seed,
            step_ms=given.step,
            start_ms=parse_event_time(given.start),
            max_tags=given.max_tags,
            profile_lag_s=given.profile_lag,
            aggregate_lag_s=given.aggregate_lag,
            aggregate_interval_s=given.aggregate_interval,
            request_timeout_s=given.tag_timeout,
            connections=given.connections,
            watched_cookies=given.watched,
            drain=given.drain == "yes",
            debug=not given.no_debug,
            token=os.environ.get("TAGS_API_TOKEN", ""),
        )
    except ValueError as error:
        parser.error(str(error))
    return options, given


async def _run(options: SubscriptionOptions, given: argparse.Namespace) -> int:
    subscription = Subscription(options)
    # Tables and oracles live as long as the process: exclude them from garbage collection.
    gc.collect()
    gc.freeze()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await subscription.start()
    shown = None if given.quiet else loop.create_task(show(subscription))
    finished, stopped = loop.create_task(subscription.wait()), loop.create_task(stop.wait())
    await asyncio.wait((finished, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await subscription.close()
    if shown is not None:
        shown.cancel()
        with suppress(asyncio.CancelledError):
            await shown
    await finished
    print(summary(subscription))
    if given.report is not None:
        given.report.write_text(json.dumps(report(subscription), indent=1) + "\n")
    counters = subscription.counters
    return 0 if counters.flawless and counters.state == "finished" else 1


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 if everything was sent, nothing dropped and nothing wrong, else 1."""
    options, given = parse_options(arguments)
    return uvloop.run(_run(options, given))
