"""The tables of one partition as a ``Sink``."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection
from typing_extensions import override

from actors.aggregates import retention
from actors.aggregates.batch import Batch, Name
from actors.aggregates.database import Database
from actors.aggregates.dictionary import NO_ID, Ahead, Dictionary
from actors.aggregates.ports import FlushReport, Position, Sink
from actors.aggregates.tables import LIVE, Tables
from actors.aggregates.upsert import IntRow, aggregates_head, rollups_head, upsert
from actors.errors import Conflict
from actors.settings import ActorSettings
from serve_app.core.tag import ACTIONS

_AHEAD_HOURS: Final = 72
"""After the first kept hour: more than a day after the newest, as 27 to 28 hours are kept."""
_ACTION_NUMBER = {action: number for number, action in enumerate(ACTIONS)}


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is stored beside the offset about retention (``actors.aggregates.retention``)."""

    first_hour: int
    tags: retention.HourTags


class _BoundMoved(Exception):
    """More hours were dropped since this sink last looked: decide again which tags are late."""


class MySQLSink(Sink):
    """Writes batches of one Kafka partition, each in one transaction with the offset."""

    def __init__(
        self,
        partition: int,
        *,
        database: Database,
        settings: ActorSettings,
        tables: Tables = LIVE,
    ) -> None:
        """Takes ownership of ``database``: `close` closes it."""
        self._partition = partition
        self._tables = tables
        self._database = database
        self._settings = settings
        self._position: Position | None = None
        """As last read or written."""
        self._kept = _Kept(0, {})
        """As stored together with it."""
        self._dictionary = Dictionary(
            database,
            max_names=settings.dictionary_max_names,
            timeout_s=settings.position_timeout_s,
        )

    @override
    async def position(self) -> Position | None:
        return await self._database.transaction(self._read, self._settings.position_timeout_s)

    @override
    async def claim(self, first: Position) -> Position:
        async def work(connection: AsyncConnection) -> Position:
            # Beside the live tables, no hour is counted whose names may have left; the lock keeps
            # the live bound where it is until this row is there to be raised with it.
            least = await _live_bound(connection) if self._tables != LIVE else 0
            await connection.exec_driver_sql(
                f"INSERT INTO {self._tables.offsets} (kafka_partition, topic_id, next_offset, "
                "watermark_ms, first_kept_hour) SELECT %s, %s, %s, %s, bound FROM "
                "(SELECT GREATEST(COALESCE(MAX(first_kept_hour), 0), %s) AS bound "
                f"FROM {self._tables.offsets}) AS all_ "
                "ON DUPLICATE KEY UPDATE kafka_partition = VALUES(kafka_partition)",
                (self._partition, first.topic_id, first.next_offset, first.watermark_ms, least),
            )
            stored = await self._read(connection)
            assert stored is not None
            return stored

        return await self._database.transaction(work, self._settings.position_timeout_s)

    @override
    async def flush(self, batch: Batch, old: Position, new: Position) -> FlushReport:
        while True:
            try:
                return await self._flush(batch, old, new)
            except _BoundMoved:
                await self.position()
            except BaseException:
                # Outcome unknown: what is cached may come from another database.
                self._dictionary.forget()
                raise

    async def _flush(self, batch: Batch, old: Position, new: Position) -> FlushReport:
        kept = self._kept
        batch, late = batch.without_late(kept.first_hour)
        # Late tags weigh as those of the oldest hour do. Otherwise, while a partition catches up or
        # a rebuild begins, only what is dated ahead would.
        tags = retention.remembered(
            retention.merged(kept.tags, batch.hours, {kept.first_hour: late} if late else {}),
            kept.first_hour,
            batch.hours,
        )
        names = batch.names()
        # Before anything was dropped, nobody knows what is far ahead.
        ahead_from = kept.first_hour + _AHEAD_HOURS
        ahead = Ahead(ahead_from, batch.names_from(ahead_from)) if kept.first_hour else None
        ids = await self._dictionary.ids(names, ahead)
        capped = sum(number == NO_ID for number in ids.values())
        statements, rows = await self._statements(batch, ids)

        async def work(connection: AsyncConnection) -> None:
            # First, because it takes the lock that a rival has to wait for. It reads the newest
            # committed row in every isolation level, and matches none if a rival was there; nor
            # if the bound moved, so that no row comes back into minutes that are being dropped.
            moved = await connection.exec_driver_sql(
                f"UPDATE {self._tables.offsets} SET next_offset = %s, watermark_ms = %s, "
                "hour_tags = %s WHERE kafka_partition = %s AND topic_id = %s AND next_offset = %s "
                "AND first_kept_hour = %s",
                (
                    new.next_offset,
                    new.watermark_ms,
                    retention.encode(tags),
                    self._partition,
                    old.topic_id,
                    old.next_offset,
                    kept.first_hour,
                ),
            )
            if moved.rowcount != 1:
                stored = await self._row(connection)
                if stored is not None and stored[1].first_hour != kept.first_hour:
                    raise _BoundMoved
                raise Conflict(
                    f"the stored offset of partition {self._partition} is not {old.next_offset}"
                )
            for statement in statements:
                await connection.exec_driver_sql(statement)

        await self._database.transaction(work, self._settings.flush_timeout_s)
        self._position, self._kept = new, _Kept(kept.first_hour, tags)
        return FlushReport(rows, late, capped)

    @override
    async def close(self) -> None:
        await self._database.close()

    async def _read(self, connection: AsyncConnection) -> Position | None:
        stored = await self._row(connection)
        position, kept = stored or (None, _Kept(0, {}))
        if position != self._position:
            # Ids are good for as long as each position is the one that this sink left there. One
            # that is not, above all one that went back, may be that of a restored database.
            self._dictionary.forget()
        elif kept.first_hour > self._kept.first_hour:
            self._dictionary.forget_before(kept.first_hour)
        self._position, self._kept = position, kept
        return position

    async def _row(self, connection: AsyncConnection) -> tuple[Position, _Kept] | None:
        result = await connection.exec_driver_sql(
            "SELECT topic_id, next_offset, watermark_ms, first_kept_hour, hour_tags "
            f"FROM {self._tables.offsets} WHERE kafka_partition = %s",
            (self._partition,),
        )
        row = result.one_or_none()
        if row is None:
            return None
        position = Position(row.topic_id, row.next_offset, row.watermark_ms)
        return position, _Kept(row.first_kept_hour, retention.decode(row.hour_tags))

    async def _statements(self, batch: Batch, ids: Mapping[Name, int]) -> tuple[list[str], int]:
        """The INSERTs of a batch, and how many rows they hold."""
        statements: list[str] = []
        total = 0
        for head, rows in (
            (aggregates_head(self._tables.aggregates), full_rows(batch, ids, self._partition)),
            (rollups_head(self._tables.rollups), rollup_rows(batch, ids, self._partition)),
        ):
            total += len(rows)
            for start in range(0, len(rows), self._settings.statement_rows):
                statements.append(upsert(head, rows[start : start + self._settings.statement_rows]))
                # Some ms of processor time each: let health checks and status calls run between.
                await asyncio.sleep(0)
        return statements, total


async def _live_bound(connection: AsyncConnection) -> int:
    """The first hour that the live tables keep; it does not move before the transaction ends."""
    rows = await connection.exec_driver_sql(
        f"SELECT first_kept_hour FROM {LIVE.offsets} LOCK IN SHARE MODE"
    )
    return max((row.first_kept_hour for row in rows), default=0)


def full_rows(batch: Batch, ids: Mapping[Name, int], partition: int) -> Sequence[IntRow]:
    """Rows of ``aggregates`` in the order of the primary key; equal keys are merged."""
    rows: list[IntRow] = [
        (
            minute,
            _ACTION_NUMBER[action],
            ids[(1, origin)],
            ids[(2, brand)],
            ids[(3, category)],
            partition,
            count,
            sum_price,
        )
        for (minute, action, origin, brand, category), (count, sum_price) in batch.full.items()
    ]
    return _in_key_order(rows, ids)


def rollup_rows(batch: Batch, ids: Mapping[Name, int], partition: int) -> Sequence[IntRow]:
    """Rows of ``rollups`` in the order of the primary key; equal keys are merged."""
    rows: list[IntRow] = [
        (
            minute,
            _ACTION_NUMBER[action],
            dimension,
            ids[(dimension, name)] if dimension else 0,
            partition,
            count,
            sum_price,
        )
        for (minute, action, dimension, name), (count, sum_price) in batch.rollups().items()
    ]
    return _in_key_order(rows, ids)


def _in_key_order(rows: list[IntRow], ids: Mapping[Name, int]) -> Sequence[IntRow]:
    """``rows`` (a key, then count and sum) sorted and merged by key."""
    if NO_ID not in ids.values():
        rows.sort()
        return rows
    # Names past the cap share an id, so rows may share a key.
    merged: dict[IntRow, tuple[int, int]] = {}
    for *key, count, sum_price in rows:
        counted, summed = merged.get(tuple(key), (0, 0))
        merged[tuple(key)] = counted + count, summed + sum_price
    return [(*key, *merged[key]) for key in sorted(merged)]
