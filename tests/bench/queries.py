"""Aggregate queries per combination of filters: SQL and row filling, warm, ten-minute ranges.

`python -m tests.bench.queries [--hours 1]`: starts its own Kafka and MariaDB, loads hours of the
Web Panel's stream (3.6 million tags an hour, skewed: the top category has a fifth of the rows) and
queries the last hour as a replica does: without filter, by one, two and three filters, with the
most popular values and with rare ones. Exit status 1 if a p99 is above 10 ms (none, one filter) or
25 ms (two, three). `make bench-day` does the same for a whole day.
"""

import asyncio
import time
from typing import Annotated

import typer

from setup.command_line import run_main
from tests.bench._platform import bench_platform
from tests.bulk.hours import START_MINUTE
from tests.bulk.questions import measure_all
from tests.bulk.tables import fill
from tests.results.recording import Recording


def main(
    hours: Annotated[float, typer.Option(help="Of event time in the tables.")] = 1.0,
    repeats: Annotated[int, typer.Option(help="Of each combination.")] = 400,
) -> int:
    """Start, fill, ask, stop."""
    minutes = max(1, round(hours * 60))
    recording = Recording("queries")
    with bench_platform(("kafka", "mariadb")) as platform:
        started_s = time.perf_counter()
        rows = fill(platform.settings(), minutes)
        print(f"{rows:,} rows in {time.perf_counter() - started_s:.0f} s")
        asked = range(START_MINUTE + max(0, minutes - 60), START_MINUTE + minutes)
        times = asyncio.run(measure_all(platform.settings(), asked, repeats))
    print(f"{'filters':<38} {'p50':>7} {'p99':>7} {'goal':>6}  ms")
    for one in times:
        mark = "" if one.reached else "  too slow"
        print(f"{one.filters:<38} {one.p50_ms:7.2f} {one.p99_ms:7.2f} {one.goal_ms:6.0f}{mark}")
        recording.figure(f"p99_ms, {one.filters}", round(one.p99_ms, 2), at_most=one.goal_ms)
    recording.figure("rows", rows)
    recording.table(
        "filters",
        ("filters", "p50, ms", "p99, ms", "goal, ms"),
        [(one.filters, f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", one.goal_ms) for one in times],
    )
    slowest_ms = max(one.p99_ms for one in times)
    kept = recording.finish(
        f"aggregate queries over {hours:g} h of the stream: p99 at most {slowest_ms:.1f} ms"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
