"""``python -m tests.bench.week [--days 7]``: a week of event time through the stores, by the day.

At full speed, without HTTP: a thin stream of a million cookies (`tests.bulk.week`) goes into the
log, from which three partition actors make aggregates and profiles, while they drop hours that are
over. After each day: how long it took; rows, table partitions and names; what each store has on
disk; the memory of Redis, and how many of the busiest cookies are full. Minutes of the day are
compared with the oracle.

Exit status 1 unless tables of the second day and of the last are alike, the busiest cookies full
after a week, all answers right, and all days done. A day that fails, or for which the disk has no
room, ends the week, and there is a result of those before it.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Annotated, Final

import redis
import typer

from serve_app.core.names import AGGREGATES_TABLE, CASE12_APP, ROLLUPS_TABLE, profile_key
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
_TRIES: Final = 10
Sample = tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]
"""Rows by table, partitions by table, names by dimension."""
_MINUTES: Final = 3
BUSIEST: Final = {"VIEW": 1_000, "BUY": 50}
"""Cookies that have 200 of the action within a week: one tag of ten is a BUY."""
WEEK_DAYS: Final = 7
GOAL_FULL: Final = 0.9
ROOM: Final = 1.5
"""Times what the biggest day took, free on the disk: a log is rewritten beside the old one."""
_FIRST_DAY_BYTES: Final = 2 * 2**30
"""Room for a day of which nothing is known yet."""
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
    full: dict[str, int]
    """By action, of the `BUSIEST` cookies those with as many tags as are kept."""
    disk_bytes: dict[str, int]
    """By store."""
    wrong: list[str]


@dataclass
class Week:
    """What was done of it."""

    wanted: int
    """Days."""
    empty_bytes: dict[str, int] = field(default_factory=dict)
    """Of each store, before the first tag."""
    days: list[Day] = field(default_factory=list)
    ended: str = ""
    """What ended it early."""


class NoRoomError(Exception):
    """The disk may not have room for another day."""


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
    rows, partitions, names = tables(made, number)
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
        stores_bytes(made),
        asyncio.run(wrong_minutes(made, number)),
    )


def tables(made: Platform, number: int) -> Sample:
    """A sample that is whole, which may take some tries."""
    for attempt in range(1, _TRIES + 1):
        rows, partitions, names = sampling.tables(made)
        try:
            check_tables(number, rows, names)
        except RuntimeError:
            if attempt == _TRIES:
                raise
            time.sleep(1)
        else:
            break
    return rows, partitions, names


def check_tables(number: int, rows: Mapping[str, int], names: Mapping[str, int]) -> None:
    """Raise RuntimeError for a sample that lacks rows of a table, or names.

    Of a server that does not answer, or that is changing partitions just then.
    """
    if not all(rows.get(table) for table in (AGGREGATES_TABLE, ROLLUPS_TABLE)):
        raise RuntimeError(f"day {number}: no rows of both tables: {dict(rows)}")
    if not sum(names.values()):
        raise RuntimeError(f"day {number}: no names")


def stores_bytes(made: Platform) -> dict[str, int]:
    """On disk, by store."""
    sizes: dict[str, int] = {}
    for folder, size in sampling.disk(made.folder.root).items():
        store = folder.removeprefix("data/").rpartition("-")[0]
        if store:
            sizes[store] = sizes.get(store, 0) + size
    return sizes


def check_room(week: Week, free_bytes: int) -> None:
    """Raise NoRoomError if the next day may not fit the disk."""
    sizes = [week.empty_bytes, *(day.disk_bytes for day in week.days)]
    totals = [sum(each.values()) for each in sizes]
    took = [after - before for before, after in pairwise(totals)]
    needed = ROOM * max(took) if took else _FIRST_DAY_BYTES
    if free_bytes < needed:
        raise NoRoomError(
            f"day {len(week.days) + 1} may take {needed / 2**30:.1f} GiB, and the disk has "
            f"{free_bytes / 2**30:.1f}"
        )


def redis_cluster(made: Platform) -> redis.RedisCluster:
    """A client of all masters."""
    stores = made.settings()
    host, _, port = stores.redis_nodes.partition(",")[0].partition(":")
    password = stores.redis_password.get_secret_value() or None
    return redis.RedisCluster(host, int(port), password=password)


@cache
def busiest() -> list[str]:
    """Cookies with the most tags, in any part of the stream, the first with most."""
    counts = Counter(map(cookie_of, islice(tag_codes(1), 500_000)))
    most = max(BUSIEST.values())
    return [shop.cookie_name(cookie) for cookie, _ in counts.most_common(most)]


def redis_figures(made: Platform) -> tuple[int, int, dict[str, int]]:
    """Bytes of data and keys of all masters; full ones of the busiest cookies, by action."""
    with redis_cluster(made) as client:
        everywhere = redis.RedisCluster.PRIMARIES
        memory = client.info("memory", target_nodes=everywhere)
        full = {}
        for action, number in BUSIEST.items():
            with client.pipeline() as pipeline:
                for cookie in busiest()[:number]:
                    pipeline.zcard(profile_key(cookie, action))
                full[action] = sum(count >= KEPT_PER_ACTION for count in pipeline.execute())
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


def record(week: Week, recording: Recording) -> bool:
    """The result of the days that were done, of which there must be one; whether all is kept."""
    days = week.days
    last = days[-1]
    recording.figure("days", last.number, at_least=week.wanted)
    recording.figure("wrong_answers", sum(len(day.wrong) for day in days), at_most=0)
    if len(days) > 2:
        for name in ("rows", "table_partitions", "names"):
            ratio = getattr(last, name) / max(1, getattr(days[1], name))
            recording.figure(f"{name}, last day by second", round(ratio, 2), at_most=GOAL_GROWTH)
        # What an empty server has would hide the growth.
        empty = week.empty_bytes["mariadb"]
        second, final = (day.disk_bytes["mariadb"] - empty for day in (days[1], last))
        ratio = final / max(1, second)
        recording.figure("mariadb on disk, last day by second", round(ratio, 2), at_most=1.25)
    for action, number in BUSIEST.items():
        share = round(last.full[action] / number, 3)
        goal = GOAL_FULL if last.number >= WEEK_DAYS else None
        name = f"share of the {number:,} busiest cookies with {KEPT_PER_ACTION} {action}s"
        recording.figure(name, share, at_least=goal)
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
            *(f"{day.full[action]:,}" for action in BUSIEST),
        )
        for day in days
    ]
    columns = (
        *("day", "seconds", "rows", "table partitions", "names", "MariaDB on disk (MiB)"),
        *("Kafka on disk (MiB)", "Redis on disk (MiB)", "Redis in memory (MiB)", "Redis keys"),
        *(f"full of {action}, of the {number:,} busiest" for action, number in BUSIEST.items()),
    )
    recording.table("days", columns, cells)
    wrong = sum(len(day.wrong) for day in days)
    reached = f"{last.number} of {week.wanted} days" if week.ended else f"{last.number} days"
    full = " and ".join(f"{last.full[one]:,} of {BUSIEST[one]:,} by {one}" for one in BUSIEST)
    return recording.finish(
        f"{reached} of event time, {tags / 1e6:.1f} million tags: {wrong} answers wrong; "
        f"{last.rows:,} rows and {last.names:,} names in the end; busy cookies full: {full}",
        f"Ended early: {week.ended}." if week.ended else "",
    )


def do_days(made: Platform, week: Week) -> None:
    """All of them, each with a line; what was done is in ``week``, whatever is raised."""
    week.empty_bytes = stores_bytes(made)
    for number in range(1, week.wanted + 1):
        check_room(week, shutil.disk_usage(made.folder.root).free)
        week.days.append(do_day(made, number))
        print(week.days[-1], flush=True)


def do_week(week: Week) -> None:
    """On a platform of its own; ``week.ended`` says what kept it from all days."""
    try:
        with platform() as made:
            do_days(made, week)
    except NoRoomError as error:
        week.ended = str(error)
    except KeyboardInterrupt:
        week.ended = "interrupted"
    except Exception as error:  # the days before it have a result, whatever it was
        traceback.print_exc()
        week.ended = f"{type(error).__name__}: {error}"[:300]
    if len(week.days) == week.wanted:
        # Only its platform's end failed, if anything.
        week.ended = ""


def main(
    days: Annotated[int, typer.Option(min=1, help="Of event time.")] = WEEK_DAYS,
) -> int:
    """Run, and print a line for each day."""
    recording = Recording("week")
    week = Week(days)
    do_week(week)
    if week.ended:
        print(f"ended after {len(week.days)} of {days} days: {week.ended}", flush=True)
    return 0 if week.days and record(week, recording) else 1


if __name__ == "__main__":
    run_main(main, __doc__)
