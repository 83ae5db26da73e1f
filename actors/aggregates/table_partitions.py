"""Hourly table partitions of the big tables: made ahead of event time, dropped once too old.

Every actor does this, and all reach the same result, whichever is first. DDL commits implicitly and
waits for every transaction on its table, so it has sessions of its own with a short lock wait
(docs/architecture.md, I9). The order of steps, so that no answer is ever incomplete:

1. The first hour to be kept (see ``retention``) is stored in every row of ``partition_offsets``.
   That waits for flushes under way, and later ones find it moved and leave out what is too old;
   readers see it in the snapshot of their answer and refuse earlier minutes.
2. Only then are earlier table partitions dropped. After a kill in between, the next run does it.
3. Then names that no other hour has leave the dictionary (see ``retired_names``).

Nothing depends on a table partition being there: rows of an hour without one go into the wider one
that covers it, and are kept longer, never shorter, as a table partition is dropped when all of it
is too old. Those for tags dated far ahead are ever wider. Such tags are in answers like any others,
and are dropped when event time gets there.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence, Set
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.aggregates.batch import Batch
from actors.aggregates.database import Database
from actors.aggregates.hour_partitions import (
    TablePartition,
    drop_statement,
    expired,
    missing_hours,
    over_soon,
    split_statement,
    table_partition_name,
    table_partitions,
)
from actors.aggregates.retention import (
    HourTags,
    busy_hours,
    decode,
    encode,
    faded,
    first_kept_hour,
    merged,
    remembered,
)
from actors.aggregates.retired_names import NamesStatus, RetiredNames
from actors.aggregates.tables import LIVE, Tables
from actors.errors import ActorError
from actors.settings import ActorSettings
from serve_app.core.clock import Clock

logger = logging.getLogger(__name__)

DDL_TIMEOUT_S: Final = 1800.0
"""Splitting a table partition copies its rows, about 100,000 a second."""
MAX_TABLE_PARTITIONS: Final = 1_000
"""Of one table. A day needs 36; each costs the servers a file and memory."""


class TablePartitions:
    """Makes table partitions from the newest hour on, and drops those that are too old."""

    def __init__(
        self,
        database: Database,
        *,
        settings: ActorSettings,
        clock: Clock,
        tables: Tables = LIVE,
    ) -> None:
        """``database``: sessions for DDL, with a short ``lock_wait_timeout``; closed by `close`."""
        self._database = database
        self._settings = settings
        self._clock = clock
        self._tables = tables
        self._names = RetiredNames(
            database,
            clock=clock,
            max_names=settings.dictionary_max_names,
            timeout_s=settings.position_timeout_s,
        )
        self._settled: tuple[set[int], int] | None = None
        """Busy hours and first kept hour for which everything was found done."""
        self._moved = asyncio.Event()
        # Left undone by a former instance.
        self._moved.set()

    def flushed(self, batch: Batch) -> None:
        """Take note of a committed batch; quick."""
        self._moved.set()

    @property
    def names(self) -> NamesStatus:
        """Of the dictionary."""
        return self._names.status

    async def run(self) -> None:
        """Run until cancelled; a failure is logged and retried."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self.work()
                if self._tables == LIVE:
                    # A rebuild's tables keep what the live ones keep, at most.
                    await self._names.work()
            except ActorError as error:
                logger.warning("table partitions or names are not in order yet: %s", error)
                self._moved.set()
            await self._clock.sleep(self._settings.table_partition_interval_s)

    async def work(self) -> None:
        """Make and drop table partitions of both tables as the counted tags require.

        Raises:
            ActorError: the server refused, or gave no lock. What could be done is done.
        """
        tags, bounds = await self._stored()
        first_kept = max(first_kept_hour(tags, self._settings.retention_min_tags), *bounds)
        busy = busy_hours(remembered(tags, first_kept), self._settings.hour_min_tags)
        if first_kept > min(bounds):
            await self._raise_bound(first_kept)
        if (set(busy), first_kept) == self._settled:
            return
        errors = []
        for table in (self._tables.aggregates, self._tables.rollups):
            try:
                await self._drop(table, first_kept)
                await self._extend(table, busy)
            except ActorError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        self._settled = set(busy), first_kept

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    async def _extend(self, table: str, busy: Sequence[int]) -> None:
        parts = await self._table_partitions(table)
        missing = missing_hours(parts, busy, self._settings.hours_ahead)
        for part, hours in missing.items():
            if len(parts) + len(hours) > MAX_TABLE_PARTITIONS:
                logger.error("%s has %d table partitions and gets no more", table, len(parts))
                return
            if over_soon(part, hours) and await self._is_big(table, part):
                logger.warning("%s: %s is too big to be split", table, part.name)
                continue
            made = {table_partition_name(hour) for hour in hours}
            await self._alter(table, split_statement(table, part, hours), made=made)

    async def _drop(self, table: str, first_kept: int) -> None:
        names = expired(await self._table_partitions(table), first_kept)
        if names:
            await self._alter(table, drop_statement(table, names), gone=names)

    async def _alter(
        self, table: str, statement: str, *, made: Set[str] = frozenset(), gone: Iterable[str] = ()
    ) -> None:
        """Run a statement, whose error does not matter if another actor was quicker."""

        async def work(connection: AsyncConnection) -> None:
            await connection.exec_driver_sql(statement)

        try:
            await self._database.transaction(work, DDL_TIMEOUT_S)
        except ActorError:
            there = {part.name for part in await self._table_partitions(table)}
            if made <= there and there.isdisjoint(gone):
                return
            raise
        logger.info("%s", statement)

    async def _is_big(self, table: str, part: TablePartition) -> bool:
        limit = self._settings.split_max_rows

        async def look(connection: AsyncConnection) -> bool:
            result = await connection.exec_driver_sql(
                f"SELECT 1 FROM {table} PARTITION ({part.name}) LIMIT 1 OFFSET {limit}"
            )
            return result.first() is not None

        return await self._database.transaction(look, DDL_TIMEOUT_S)

    async def _table_partitions(self, table: str) -> list[TablePartition]:
        async def read(connection: AsyncConnection) -> list[tuple[str, str]]:
            result = await connection.exec_driver_sql(
                "SELECT PARTITION_NAME AS name, PARTITION_DESCRIPTION AS bound "
                "FROM information_schema.PARTITIONS "
                f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' "
                "ORDER BY PARTITION_ORDINAL_POSITION"
            )
            return [(row.name, row.bound) for row in result]

        rows = await self._database.transaction(read, self._settings.position_timeout_s)
        return table_partitions(rows)

    async def _stored(self) -> tuple[HourTags, list[int]]:
        """Tags by hour over all Kafka partitions, and the first kept hour of each (or 0)."""

        async def read(connection: AsyncConnection) -> list[tuple[int, str | None]]:
            result = await connection.exec_driver_sql(
                f"SELECT first_kept_hour, hour_tags FROM {self._tables.offsets}"
            )
            return [(row.first_kept_hour, row.hour_tags) for row in result]

        rows = await self._database.transaction(read, self._settings.position_timeout_s)
        bounds = [first for first, _ in rows] or [0]
        # What is gone may stand in the row until the next flush.
        return remembered(merged(*(decode(text) for _, text in rows)), max(bounds)), bounds

    async def _raise_bound(self, first_kept: int) -> None:
        """Store it for every Kafka partition, and how tags fade; waits for flushes under way.

        Later flushes find the bound moved, and read both before they count on.
        """

        async def work(connection: AsyncConnection) -> None:
            result = await connection.exec_driver_sql(
                f"SELECT kafka_partition, first_kept_hour, hour_tags FROM {self._tables.offsets} "
                "ORDER BY kafka_partition FOR UPDATE"
            )
            rows = result.all()
            parts = faded({row.kafka_partition: decode(row.hour_tags) for row in rows}, first_kept)
            for row in rows:
                # Not once more if another actor was quicker.
                if row.first_kept_hour < first_kept:
                    await connection.exec_driver_sql(
                        f"UPDATE {self._tables.offsets} SET first_kept_hour = %s, hour_tags = %s "
                        "WHERE kafka_partition = %s",
                        (first_kept, encode(parts[row.kafka_partition]), row.kafka_partition),
                    )

        await self._database.transaction(work, DDL_TIMEOUT_S)
        logger.info("event time before the epoch hour %d is no longer kept", first_kept)
