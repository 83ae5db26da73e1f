"""The run itself: hour by hour, each sent at full speed while the actors count it."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pymysql

from serve_app.core.names import AGGREGATES_TABLE, CASE12_APP, ROLLUPS_TABLE
from setup.local.platform import Platform
from tests.bench._serve_config import write_variant
from tests.bench.day.check import differences
from tests.bench.day.disk import KEPT_LOG_BYTES, check_disk
from tests.bench.day.results import Hour, Results, reported
from tests.bench.day.watch import Watch
from tests.bulk.hours import HOUR_TAGS, PARTITIONS, START_MINUTE, partition_end
from tests.bulk.questions import measure_all
from tests.bulk.tables import connect, counted
from tests.log_ends import log_ends

LOOK_S: Final = 0.5
STUCK_S: Final = 180.0
"""Seconds without progress after which the run fails."""
REPEATS: Final = 200
"""Queries per combination of filters."""


class DayFailed(Exception):
    """The platform failed; the message has the reason."""


def day_platform(folder: Path) -> Platform:
    """Kafka, MariaDB and the application case3 on data that stay in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    serve_config = folder / "serve_config.yaml"
    write_variant(serve_config, without=CASE12_APP)
    return Platform(
        folder / "platform",
        free=True,
        serve_config=serve_config,
        extra_environment={"TAGS_TOPIC_RETENTION_BYTES": str(KEPT_LOG_BYTES)},
    )


class Day:
    """A run of the first ``tags`` of the stream; continues on existing data."""

    def __init__(self, folder: Path, tags: int, repeats: int = REPEATS) -> None:
        """``repeats``: queries per combination of filters."""
        self._repeats = repeats
        self._tags = tags
        self.last_hour = -(-tags // HOUR_TAGS)
        self.platform = day_platform(folder)
        self._path = folder / "results.json"
        self.results = Results.load(self._path)
        while self.results.hours and not self._finished(self.results.hours[-1]):
            self.results.hours.pop()

    def run(self, progress: Callable[[int], None], say: Callable[[str], None]) -> None:
        """Process the missing hours.

        ``progress`` gets the number of tags in the tables, ``say`` a line per step.

        Raises:
            TooLittleSpace: the rest of the run does not fit on the disk.
            DayFailed: the actors are stuck, or the tables differ from the oracle.
        """
        platform = self.platform
        done = self.results.hours[-1].end_tags if self.results.hours else 0
        check_disk(platform.folder.root.parent, self._tags, done)
        platform.up(("kafka", "mariadb"))
        loaded = sum(asyncio.run(log_ends(platform.settings().kafka_bootstrap)).values())
        check_disk(platform.folder.root, self._tags, loaded)
        # Without Redis: only aggregates matter here.
        platform.up(("ray",))
        for number in range(len(self.results.hours) + 1, self.last_hour + 1):
            say(f"hour {number}")
            self._do_hour(number, progress)
        say("done")

    def _finished(self, hour: Hour) -> bool:
        """Whether the hour is complete: an earlier run may have ended within it."""
        return hour.end_tags >= min(self._tags, hour.number * HOUR_TAGS)

    def _do_hour(self, number: int, progress: Callable[[int], None]) -> None:
        stores = self.platform.settings()
        end = min(self._tags, number * HOUR_TAGS)
        watch = Watch(self.platform)
        before = sum(counted(stores).values())
        started_s = time.perf_counter()
        self._count(end, watch, progress)
        seconds = time.perf_counter() - started_s
        asked = range(START_MINUTE + (number - 1) * 60, START_MINUTE + (end - 1) // 60_000 + 1)
        queries, sample = [], 1
        if reported(number, self.last_hour):
            queries, sample = asyncio.run(measure_all(stores, asked, self._repeats)), 3
        tags_of_hour = end - (number - 1) * HOUR_TAGS
        wrong = asyncio.run(differences(stores, number - 1, tags_of_hour, sample))
        if wrong:
            raise DayFailed("\n".join([f"hour {number} differs from the oracle:", *wrong[:5]]))
        rows, rest_rows = self._count_rows(asked)
        flush_p50_ms, flush_p99_ms = watch.flush_quantiles()
        hours = self.results.hours
        hours.append(
            Hour(
                number=number,
                end_tags=end,
                tags=end - before,
                resumed=before > (number - 1) * HOUR_TAGS,
                seconds=round(seconds, 1),
                flush_p50_ms=flush_p50_ms,
                flush_p99_ms=flush_p99_ms,
                actor_rss_bytes=watch.rss_bytes,
                rows=rows,
                total_rows=rows + (hours[-1].total_rows if hours else 0),
                table_bytes=self._table_bytes(),
                rest_rows=rest_rows,
                queries=queries,
            )
        )
        self.results.save(self._path)

    def _count(self, end: int, watch: Watch, progress: Callable[[int], None]) -> None:
        """Send what the log lacks of the first ``end`` tags, and wait until all are counted."""
        stores = self.platform.settings()
        wanted = {number: partition_end(end, number) for number in range(PARTITIONS)}
        sender = subprocess.Popen(
            [sys.executable, "-m", "tests.bulk.log", str(end)],
            env={**os.environ, **self.platform.environment()},
        )
        try:
            moved_s, last = time.monotonic(), -1
            while True:
                watch.look()
                there: dict[int, int] = {}
                with suppress(pymysql.MySQLError):
                    there = counted(stores)
                done = sum(there.values())
                if done > last:
                    moved_s, last = time.monotonic(), done
                    progress(done)
                if all(there.get(number, 0) >= offset for number, offset in wanted.items()):
                    break
                if sender.poll():
                    raise DayFailed(f"sending ended with exit status {sender.returncode}")
                if time.monotonic() - moved_s > STUCK_S:
                    raise DayFailed(f"nothing was counted for {STUCK_S:.0f} s: {watch.problems}")
                time.sleep(LOOK_S)
            if sender.wait():
                raise DayFailed(f"sending ended with exit status {sender.returncode}")
        finally:
            if sender.poll() is None:
                sender.terminate()
                sender.wait()

    def _count_rows(self, minutes: range) -> tuple[int, int]:
        """Rows of ``aggregates`` in ``minutes``, and in the catch-all."""
        with connect(self.platform.settings()) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"SELECT COUNT(*) FROM {AGGREGATES_TABLE} "
                f"WHERE bucket BETWEEN {minutes[0]} AND {minutes[-1]}"
            )
            ((rows,),) = cursor.fetchall()
            cursor.execute(
                "SELECT PARTITION_NAME FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = "
                f"DATABASE() AND TABLE_NAME = '{AGGREGATES_TABLE}' "
                "AND PARTITION_DESCRIPTION = 'MAXVALUE'"
            )
            ((catch_all,),) = cursor.fetchall()
            cursor.execute(f"SELECT COUNT(*) FROM {AGGREGATES_TABLE} PARTITION ({catch_all})")
            ((rest_rows,),) = cursor.fetchall()
        return int(rows), int(rest_rows)

    def _table_bytes(self) -> int:
        """Bytes on disk of both tables' files."""
        folder = self.platform.folder.data("mariadb-1")
        return sum(
            file.stat().st_blocks * 512
            for table in (AGGREGATES_TABLE, ROLLUPS_TABLE)
            for file in folder.glob(f"*/{table}#*.ibd")
        )
