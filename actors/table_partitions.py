"""Hourly partitions of the big tables, made ahead of the event time that actors count.

Each actor does this for itself and all come to the same: a partition that is there already is
fine, whoever made it. Nothing depends on it, either: rows of an hour without a partition fall into
the catch-all. DDL commits implicitly and waits for every transaction on its table, so it has
sessions of its own with a short lock wait (DESIGN 13).

Dropping hours older than a day (issue 3) belongs here too, by the same ``newest_hour``.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.batch import Batch
from actors.database import Database
from actors.errors import ActorError
from actors.settings import ActorSettings
from serve_app.core.clock import Clock
from serve_app.core.names import AGGREGATES_TABLE, ROLLUPS_TABLE

logger = logging.getLogger(__name__)

CATCH_ALL: Final = "p_rest"
DDL_TIMEOUT_S: Final = 60.0
_REMEMBERED_HOURS: Final = 100


class HourCounter:
    """Which hours of event time hold enough tags to be taken for real."""

    def __init__(self, min_tags: int) -> None:
        """An hour counts from ``min_tags`` tags on, so single tags dated years ahead do not."""
        self._min_tags = min_tags
        self._tags: dict[int, int] = {}
        self.newest_hour: int | None = None
        """Epoch hour, the newest that counts."""

    def add(self, batch: Batch) -> bool:
        """Take in a committed batch; whether `newest_hour` has moved."""
        before = self.newest_hour
        for hour, tags in batch.hours.items():
            total = self._tags.pop(hour, 0) + tags
            self._tags[hour] = total
            if total >= self._min_tags and (self.newest_hour is None or hour > self.newest_hour):
                self.newest_hour = hour
        # Hours that were not added to for longest go first: a stream of tags with random times
        # must not fill the memory.
        while len(self._tags) > _REMEMBERED_HOURS:
            del self._tags[next(iter(self._tags))]
        return self.newest_hour != before


class TablePartitions:
    """Makes the partitions of the hours from the newest on."""

    def __init__(self, database: Database, *, settings: ActorSettings, clock: Clock) -> None:
        """``database``: sessions for DDL, with a short ``lock_wait_timeout``; closed by `close`."""
        self._database = database
        self._settings = settings
        self._clock = clock
        self._hours = HourCounter(settings.hour_min_tags)
        self._moved = asyncio.Event()

    def flushed(self, batch: Batch) -> None:
        """Tell of a committed batch; quick."""
        if self._hours.add(batch):
            self._moved.set()

    async def run(self) -> None:
        """Work until cancelled; a failure is logged and tried again."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            for table in (AGGREGATES_TABLE, ROLLUPS_TABLE):
                try:
                    await self.extend(table)
                except ActorError as error:
                    logger.warning("no new partitions for %s yet: %s", table, error)
                    self._moved.set()
            await self._clock.sleep(self._settings.table_partition_interval_s)

    async def extend(self, table: str) -> None:
        """Make what is missing from the newest hour on.

        Raises:
            ActorError: the server refused or gave no lock, and the partitions are not there.
        """
        newest = self._hours.newest_hour
        if newest is None:
            return
        hours = await self._missing(table, newest)
        if not hours:
            return
        limit = self._settings.split_max_rows

        async def split(connection: AsyncConnection) -> bool:
            counted = await connection.exec_driver_sql(
                f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} PARTITION ({CATCH_ALL}) "
                f"LIMIT {limit + 1}) AS some"
            )
            if counted.scalar_one() > limit:
                return False
            await connection.exec_driver_sql(split_statement(table, hours))
            return True

        try:
            if not await self._database.transaction(split, DDL_TIMEOUT_S):
                logger.error(
                    "%s: %s holds more than %d rows and is not split", table, CATCH_ALL, limit
                )
                return
        except ActorError:
            # Another actor may have been quicker, which the server reports as an error.
            if await self._missing(table, newest):
                raise
            return
        logger.info("%s: made partitions for the hours %s", table, hours)

    async def close(self) -> None:
        """Let go of every connection."""
        await self._database.close()

    async def _missing(self, table: str, newest: int) -> list[int]:
        async def read(connection: AsyncConnection) -> list[str]:
            result = await connection.exec_driver_sql(
                "SELECT PARTITION_DESCRIPTION AS bound FROM information_schema.PARTITIONS "
                f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
            )
            return [str(bound) for bound in result.scalars()]

        bounds = await self._database.transaction(read, self._settings.position_timeout_s)
        return missing_hours(bounds, newest, self._settings.hours_ahead)


def missing_hours(bounds: Iterable[str], newest: int, ahead: int) -> list[int]:
    """Epoch hours to make partitions for, at most ``ahead + 1``.

    ``bounds`` are the table's upper bounds (exclusive) in epoch minutes, as information_schema
    writes them. Only hours past the highest can be split off the catch-all; a gap before
    ``newest`` falls into its partition.
    """
    highest = max((int(bound) for bound in bounds if bound.isdecimal()), default=0)
    return [hour for hour in range(newest, newest + ahead + 1) if (hour + 1) * 60 > highest]


def split_statement(table: str, hours: Iterable[int]) -> str:
    """Splits ``hours``, in order, off the catch-all."""
    parts = ", ".join(
        f"PARTITION p{hour} VALUES LESS THAN ({(hour + 1) * 60})" for hour in sorted(hours)
    )
    return (
        f"ALTER TABLE {table} REORGANIZE PARTITION {CATCH_ALL} INTO "
        f"({parts}, PARTITION {CATCH_ALL} VALUES LESS THAN MAXVALUE)"
    )
