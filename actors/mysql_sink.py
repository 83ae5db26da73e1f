"""The tables of one partition as a ``Sink``."""

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.batch import Batch, Name
from actors.database import Database
from actors.dictionary import NO_ID, Dictionary
from actors.errors import Conflict
from actors.ports import FlushReport, Position
from actors.settings import ActorSettings
from actors.upsert import AGGREGATES_HEAD, ROLLUPS_HEAD, IntRow, upsert
from serve_app.core.names import OFFSETS_TABLE
from serve_app.core.tag import ACTIONS

_ACTION_NUMBER = {action: number for number, action in enumerate(ACTIONS)}


class MySQLSink:
    """Writes batches of one Kafka partition, each in one transaction with the offset."""

    def __init__(self, partition: int, *, database: Database, settings: ActorSettings) -> None:
        """``database`` is this sink's own: `close` closes it."""
        self._partition = partition
        self._database = database
        self._settings = settings
        self._dictionary = Dictionary(
            database,
            max_names=settings.dictionary_max_names,
            timeout_s=settings.position_timeout_s,
        )

    async def position(self) -> Position | None:
        """See ``Sink``."""
        return await self._database.transaction(self._read, self._settings.position_timeout_s)

    async def claim(self, first: Position) -> Position:
        """See ``Sink``."""

        async def work(connection: AsyncConnection) -> Position:
            await connection.exec_driver_sql(
                f"INSERT INTO {OFFSETS_TABLE} (kafka_partition, topic_id, next_offset, "
                "watermark_ms) VALUES (%s, %s, %s, %s) "
                "ON DUPLICATE KEY UPDATE kafka_partition = kafka_partition",
                (self._partition, first.topic_id, first.next_offset, first.watermark_ms),
            )
            stored = await self._read(connection)
            assert stored is not None
            return stored

        return await self._database.transaction(work, self._settings.position_timeout_s)

    async def flush(self, batch: Batch, old: Position, new: Position) -> FlushReport:
        """See ``Sink``."""
        ids = await self._dictionary.ids(batch.names())
        statements, rows = await self._statements(batch, ids)

        async def work(connection: AsyncConnection) -> None:
            # First, because it takes the lock that a rival has to wait for. It reads the newest
            # committed row in every isolation level, and matches none if a rival was there.
            moved = await connection.exec_driver_sql(
                f"UPDATE {OFFSETS_TABLE} SET next_offset = %s, watermark_ms = %s "
                "WHERE kafka_partition = %s AND topic_id = %s AND next_offset = %s",
                (new.next_offset, new.watermark_ms, self._partition, old.topic_id, old.next_offset),
            )
            if moved.rowcount != 1:
                raise Conflict(
                    f"the stored offset of partition {self._partition} is not {old.next_offset}"
                )
            for statement in statements:
                await connection.exec_driver_sql(statement)

        await self._database.transaction(work, self._settings.flush_timeout_s)
        return FlushReport(rows)

    async def close(self) -> None:
        """See ``Sink``."""
        await self._database.close()

    async def _read(self, connection: AsyncConnection) -> Position | None:
        result = await connection.exec_driver_sql(
            f"SELECT topic_id, next_offset, watermark_ms FROM {OFFSETS_TABLE} "
            "WHERE kafka_partition = %s",
            (self._partition,),
        )
        row = result.one_or_none()
        if row is None:
            return None
        return Position(row.topic_id, row.next_offset, row.watermark_ms)

    async def _statements(self, batch: Batch, ids: Mapping[Name, int]) -> tuple[list[str], int]:
        """The INSERTs of a batch, and how many rows they hold."""
        statements: list[str] = []
        total = 0
        for head, rows in (
            (AGGREGATES_HEAD, full_rows(batch, ids, self._partition)),
            (ROLLUPS_HEAD, rollup_rows(batch, ids, self._partition)),
        ):
            total += len(rows)
            for start in range(0, len(rows), self._settings.statement_rows):
                statements.append(upsert(head, rows[start : start + self._settings.statement_rows]))
                # Some ms of processor time each: let health checks and status calls in between.
                await asyncio.sleep(0)
        return statements, total


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
    """``rows`` (a key, then count and sum) sorted; a key is there once."""
    if NO_ID not in ids.values():
        rows.sort()
        return rows
    # Names past the cap share an id, and so may rows their key.
    merged: dict[IntRow, tuple[int, int]] = {}
    for *key, count, sum_price in rows:
        counted, summed = merged.get(tuple(key), (0, 0))
        merged[tuple(key)] = counted + count, summed + sum_price
    return [(*key, *merged[key]) for key in sorted(merged)]
