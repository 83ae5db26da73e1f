"""``python -m tests.bench.week [--days 7]``: a week of event time through the stores, by the day.

At full speed, without HTTP: a thin stream of a million cookies (`tests.bulk.week`) goes into the
log, from which three partition actors make aggregates and profiles, while they drop hours that are
over. After each day: how long it took; rows, table partitions and names; what each store has on
disk; the memory of Redis, and how many of the busiest cookies are full. Minutes of the day are
compared with the oracle.

Exit status 1 unless tables of the second day and of the last are alike, and all answers right.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, Final

import redis
import typer

from serve_app.core.names import CASE12_APP, profile_key
from serve_app.core.query import KEPT_PER_ACTION
from setup.command_line import run_main
from setup.local.platform import Platform
from setup.local.status import partition_statuses
from tests.bench._serve_config import write_variant
from tests.bench.day.check import differences_of
from tests.bulk.hours import PARTITIONS, START_MINUTE, partition_end
from tests.bulk.questions import fresh_aggregates
from tests.bulk.week import DAY_TAGS, MINUTE_TAGS, bodies
from tests.results.recording import Recording
from tests.soak import sampling
from tests.webpanel import catalogue as shop
from tests.webpanel.stream import cookie_of, tag_codes

GOAL_GROWTH: Final = 1.1
"""Of rows, partitions, names and tables, from the second day to the last: one day is kept."""
STUCK_S: Final = 180.0
_RETENTION_S: Final = 15.0
_MINUTES: Final = 3
_BUSIEST: Final = 2_000
_MIB: Final = 2**20


@dataclass(frozen=True)
class Day:
    """Figures at the end of a day of event time."""

    number: int
    seconds: float
    rows: int
    table_partitions: int
    names: int
    redis_bytes: int
    redis_keys: int
    full: int
    """Of the `_BUSIEST` cookies, those with as many views as are kept."""
    disk_bytes: dict[str, int]
    """By store."""
    wrong: list[str]


@contextmanager
def platform() -> Iterator[Platform]:
    """Stores and the application case3."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        write_variant(folder / "serve_config.yaml", without=CASE12_APP)
        with Platform(folder / "p", free=True, serve_config=folder / "serve_config.yaml") as made:
            made.up(("kafka", "mariadb", "redis", "ray"))
            yield made


def caught_up(made: Platform, tags: int) -> bool:
    """Whether both views have the first ``tags`` of the stream."""
    try:
        statuses = partition_statuses(made)
    except (OSError, ValueError):
        return False
    return len(statuses) == PARTITIONS and all(
        (one["offset"] or 0) >= (end := partition_end(tags, one["partition"]))
        and one["profiles"]
        and all((feed["offset"] or 0) >= end for feed in one["profiles"])
        for one in statuses
    )


def do_day(made: Platform, number: int) -> Day:
    """Send, and wait for both views."""
    end = number * DAY_TAGS
    began_s = time.monotonic()
    sender = subprocess.Popen(
        [sys.executable, "-m", "tests.bulk.week", str(end)],
        env={**os.environ, **made.environment()},
    )
    try:
        while sender.poll() is None or not caught_up(made, end):
            if sender.returncode or time.monotonic() - began_s > STUCK_S + DAY_TAGS / 2_000:
                raise RuntimeError(f"day {number}: stuck; sender: {sender.returncode}")
            time.sleep(0.5)
    finally:
        sender.kill()
        sender.wait()
    seconds = time.monotonic() - began_s
    # Actors look every 5 s at what may be dropped, and an hour of event time takes less.
    time.sleep(_RETENTION_S)
    rows, partitions, names = sampling.tables(made)
    sizes: dict[str, int] = {}
    for folder, size in sampling.disk(made.folder.root).items():
        store = folder.removeprefix("data/").rpartition("-")[0]
        if store:
            sizes[store] = sizes.get(store, 0) + size
    memory, keys, full = redis_figures(made)
    return Day(
        number,
        seconds,
        sum(rows.values()),
        sum(partitions.values()),
        sum(names.values()),
        memory,
        keys,
        full,
        sizes,
        asyncio.run(wrong_minutes(made, number)),
    )


def redis_cluster(made: Platform) -> redis.RedisCluster:
    """A client of all masters."""
    stores = made.settings()
    host, _, port = stores.redis_nodes.partition(",")[0].partition(":")
    password = stores.redis_password.get_secret_value() or None
    return redis.RedisCluster(host, int(port), password=password)


@cache
def busiest() -> list[str]:
    """Cookies with the most tags, in any part of the stream."""
    counts = Counter(map(cookie_of, islice(tag_codes(1), 500_000)))
    return [shop.cookie_name(cookie) for cookie, _ in counts.most_common(_BUSIEST)]


def redis_figures(made: Platform) -> tuple[int, int, int]:
    """Bytes of data and keys of all masters; full ones of the busiest cookies."""
    with redis_cluster(made) as client:
        everywhere = redis.RedisCluster.PRIMARIES
        memory = client.info("memory", target_nodes=everywhere)
        with client.pipeline() as pipeline:
            for cookie in busiest():
                pipeline.zcard(profile_key(cookie, "VIEW"))
            full = sum(count >= KEPT_PER_ACTION for count in pipeline.execute())
        used = sum(one["used_memory"] for one in memory.values())
        return used, client.dbsize(target_nodes=everywhere), full


async def wrong_minutes(made: Platform, number: int) -> list[str]:
    """Differences from the oracle in some minutes of the day's last 23 hours."""
    minutes = Random(number).sample(range((number - 1) * 1_440 + 60, number * 1_440), _MINUTES)
    found = []
    async with fresh_aggregates(made.settings()) as fresh:
        for minute in minutes:
            sent = bodies(minute * MINUTE_TAGS, (minute + 1) * MINUTE_TAGS)
            found += await differences_of(fresh, START_MINUTE + minute, sent)
    return found


def record(days: list[Day], recording: Recording) -> bool:
    """The result; whether it keeps its bounds."""
    last = days[-1]
    recording.figure("wrong_answers", sum(len(day.wrong) for day in days), at_most=0)
    if len(days) > 2:
        for name in ("rows", "table_partitions", "names"):
            ratio = getattr(last, name) / max(1, getattr(days[1], name))
            recording.figure(f"{name}, last day by second", round(ratio, 2), at_most=GOAL_GROWTH)
        ratio = last.disk_bytes["mariadb"] / days[1].disk_bytes["mariadb"]
        recording.figure("mariadb on disk, last day by second", round(ratio, 2), at_most=1.25)
    tags = last.number * DAY_TAGS
    recording.figure("redis bytes a tag sent", round(last.redis_bytes / tags, 1))
    recording.figure("kafka bytes a tag", round(last.disk_bytes["kafka"] / tags, 1))
    cells = [
        (
            str(day.number),
            f"{day.seconds:.0f}",
            f"{day.rows:,}",
            f"{day.table_partitions:,}",
            f"{day.names:,}",
            *(f"{day.disk_bytes[store] / _MIB:,.0f}" for store in ("mariadb", "kafka", "redis")),
            f"{day.redis_bytes / _MIB:,.0f}",
            f"{day.redis_keys:,}",
            f"{day.full:,}",
        )
        for day in days
    ]
    columns = (
        *("day", "seconds", "rows", "table partitions", "names", "MariaDB on disk (MiB)"),
        *("Kafka on disk (MiB)", "Redis on disk (MiB)", "Redis in memory (MiB)", "Redis keys"),
        f"full of the {_BUSIEST:,} busiest cookies",
    )
    recording.table("days", columns, cells)
    wrong = sum(len(day.wrong) for day in days)
    return recording.finish(
        f"{last.number} days of event time, {tags / 1e6:.1f} million tags: {wrong} answers wrong; "
        f"{last.rows:,} rows and {last.names:,} names in the end, {days[-1].full:,} of "
        f"{_BUSIEST:,} busy cookies full"
    )


def main(
    days: Annotated[int, typer.Option(min=1, help="Of event time.")] = 7,
) -> int:
    """Run, and print a line for each day."""
    recording = Recording("week")
    done: list[Day] = []
    with platform() as made:
        for number in range(1, days + 1):
            done.append(do_day(made, number))
            print(done[-1], flush=True)
    return 0 if record(done, recording) else 1


if __name__ == "__main__":
    run_main(main, __doc__)
