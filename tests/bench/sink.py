"""Throughput of one partition actor from the log to committed rows, against the server's ceiling.

`python -m tests.bench.sink [--tags 400000]`: starts its own Kafka and MariaDB, fills the topic with
the Web Panel's stream and lets one actor (in its own process) process one partition. Then the
ceiling: the same statements in as many transactions from one connection into emptied tables of the
same server, without log, decoding and bucket work. A short run before shows whether memory grows
with the lag. Exit status 1 below 20,000 tags/s or half of the ceiling, or if eight
times the lag takes more than 1.2 times the memory.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Final

import msgspec
import typer

from actors.aggregates.batch import Batch
from actors.aggregates.pending import Pending
from actors.log.ports import Record
from actors.settings import ActorSettings
from serve_app.core.settings import Settings
from setup.command_line import run_main
from setup.local.platform import Platform
from tests.bench._platform import bench_platform
from tests.bulk import log
from tests.bulk.actor import ActorRun
from tests.bulk.hours import PARTITIONS, START_MINUTE, hour_bodies
from tests.bulk.tables import connect, empty_tables, flush_statements, name_ids
from tests.results.recording import Recording

GOAL_TAGS_S: Final = 20_000
GOAL_SHARE: Final = 0.5
GOAL_MEMORY: Final = 1.2
PARTITION: Final = 0
MIB: Final = 1024**2


def run_actor(platform: Platform, tags: int) -> ActorRun:
    """Run an actor in its own process, from empty tables to ``tags`` of its partition."""
    empty_tables(platform.settings())
    done = subprocess.run(
        [sys.executable, "-m", "tests.bulk.actor", str(PARTITION), str(tags)],
        env={**os.environ, **platform.environment()},
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=ActorRun)


def batches(tags: int, settings: ActorSettings) -> Iterator[Batch]:
    """The batches that an actor with a full log makes of its first ``tags``."""
    pending = Pending(settings, 0)
    for offset, body in enumerate(partition_bodies(tags)):
        pending.take(Record(offset, body), 0.0)
        # As the loop does: it checks after each fetch.
        if pending.full and (offset + 1) % settings.poll_records == 0:
            yield pending.batch
            pending = Pending(settings, pending.next_offset)
    yield pending.batch


def partition_bodies(tags: int) -> Iterator[bytes]:
    """The first ``tags`` of the partition."""
    bodies = hour_bodies(0, 0, tags * PARTITIONS)
    return (body for number, body in enumerate(bodies) if number % PARTITIONS == PARTITION)


def statements(stores: Settings, tags: int) -> list[tuple[list[str], int]]:
    """(statements, rows) of each flush."""
    settings, made = ActorSettings(), list(batches(tags, ActorSettings()))
    names = {name for batch in made for name in batch.names()}
    ids = asyncio.run(name_ids(stores, names, START_MINUTE // 60 + 1))
    return [flush_statements(batch, ids, PARTITION, settings) for batch in made]


def ceiling(platform: Platform, tags: int) -> tuple[float, int, list[float]]:
    """(seconds, rows, ms a transaction) of the same rows without an actor."""
    stores = platform.settings()
    empty_tables(stores)
    flushes = statements(stores, tags)
    times_ms = []
    with closing(connect(stores, autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        started_s = time.perf_counter()
        for texts, _ in flushes:
            begun_s = time.perf_counter()
            for text in texts:
                cursor.execute(text)
            connection.commit()
            times_ms.append((time.perf_counter() - begun_s) * 1000)
        seconds = time.perf_counter() - started_s
    return seconds, sum(rows for _, rows in flushes), times_ms


def measure(platform: Platform, tags: int, recording: Recording) -> bool:
    """Print and record the figures; returns whether the bounds are kept."""
    asyncio.run(log.fill(platform.settings(), tags * PARTITIONS))
    small = run_actor(platform, tags // 8)
    run = run_actor(platform, tags)
    seconds, rows, times_ms = ceiling(platform, tags)
    tags_s, rows_s, ceiling_s = run.tags / run.seconds, run.rows / run.seconds, rows / seconds
    share = rows_s / ceiling_s
    print(f"tags: {run.tags} in {run.seconds:.1f} s = {tags_s:,.0f} tags/s")
    print(f"rows: {run.rows} ({run.rows / run.tags:.2f} a tag) = {rows_s:,.0f} rows/s")
    print(f"ceiling: {rows} rows in {seconds:.1f} s = {ceiling_s:,.0f} rows/s")
    print(f"share of the ceiling: {share:.2f}")
    print(f"processor time of the actor: {run.processor_s / run.tags * 1e6:.1f} µs a tag")
    print(f"flush: {describe(run.flush_ms)} ms; ceiling's transaction: {describe(times_ms)} ms")
    for name, one, lag in (("small", small, tags // 8), ("large", run, tags)):
        print(
            f"memory with a {name} lag ({lag} tags): {one.peak_rss_bytes / MIB:.0f} MiB at most, "
            f"{one.rss_bytes / MIB:.0f} MiB before the first tag"
        )
    grown = run.peak_rss_bytes / small.peak_rss_bytes
    recording.figure("tags_s", round(tags_s), at_least=GOAL_TAGS_S)
    recording.figure("ceiling_rows_s", round(ceiling_s))
    recording.figure("share_of_ceiling", round(share, 3), at_least=GOAL_SHARE)
    recording.figure("memory_at_8_times_the_lag", round(grown, 3), at_most=GOAL_MEMORY)
    recording.figure("peak_memory_mib", round(run.peak_rss_bytes / MIB))
    recording.figure("processor_us_a_tag", round(run.processor_s / run.tags * 1e6, 1))
    return recording.finish(
        f"one actor: {tags_s:,.0f} tags/s from the log to committed rows, {share:.2f} of what "
        "MariaDB takes of the same rows"
    )


def describe(times_ms: list[float]) -> dict[str, float]:
    """Median and maximum."""
    return {"p50": round(statistics.median(times_ms), 1), "max": round(max(times_ms), 1)}


def main(
    tags: Annotated[int, typer.Option(help="Of one partition.")] = 400_000,
) -> int:
    """Start, measure, stop."""
    recording = Recording("sink")
    with bench_platform(("kafka", "mariadb")) as platform:
        reached = measure(platform, tags, recording)
    return 0 if reached else 1


if __name__ == "__main__":
    run_main(main, __doc__)
