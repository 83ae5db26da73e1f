"""What MySQL holds, offsets and rows of one moment."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from sqlalchemy import NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from actors.aggregates.database import sorted_out
from actors.aggregates.tables import LIVE
from actors.tools.verify.expected import Counts, RollupCounts
from serve_app.core.names import DICTIONARY_TABLE, OTHER_NAMES_TABLE
from serve_app.core.settings import Settings
from serve_app.core.tag import ACTIONS
from serve_app.stores.database import connect_options, database_url

Key = TypeVar("Key")

PAST_CAP: Final = ""
"""In the place of every name that may have come while the dictionary was full; no name is empty."""


class TablesSnapshot:
    """Reads within one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Call `open` first."""
        self._connection = connection
        self.offsets: dict[int, tuple[str, int]] = {}
        """Kafka partition → (topic id, next offset)."""
        self.first_kept_minute = 0
        """Epoch minute; of what is older the tables may hold anything or nothing."""
        self._names: dict[int, tuple[int, str]] = {}
        self._complete_from: dict[tuple[int, str], int] = {}
        """(dimension, name) → epoch hour from which on all of its tags are under its id."""
        self._others_before: dict[int, int] = {}
        """Dimension → epoch hour from which on no tag is counted under `PAST_CAP`."""

    async def open(self) -> None:
        """Read offsets and names; from here on nothing changes."""
        # All tables in one statement: it locks their metadata before it takes the snapshot, so no
        # dropped table partition and no rebuild can come between the two.
        rows = await self._connection.exec_driver_sql(
            f"SELECT kafka_partition, topic_id, next_offset, first_kept_hour FROM {LIVE.offsets} "
            f"UNION ALL SELECT 0, '', 0, 0 FROM {LIVE.aggregates} WHERE 1 = 0 "
            f"UNION ALL SELECT 0, '', 0, 0 FROM {LIVE.rollups} WHERE 1 = 0"
        )
        for partition, topic_id, offset, first_kept_hour in map(tuple, rows):
            self.offsets[int(partition)] = str(topic_id), int(offset)
            self.first_kept_minute = max(self.first_kept_minute, int(first_kept_hour) * 60)
        rows = await self._connection.exec_driver_sql(
            f"SELECT id, dimension, name, complete_from_hour FROM {DICTIONARY_TABLE}"
        )
        for number, dimension, encoded, complete_from in map(tuple, rows):
            name = dimension, encoded.decode(errors="replace")
            self._names[number] = name
            self._complete_from[name] = complete_from
        rows = await self._connection.exec_driver_sql(
            f"SELECT dimension, before_hour FROM {OTHER_NAMES_TABLE}"
        )
        self._others_before = {dimension: hour for dimension, hour in map(tuple, rows)}

    def known(self, dimension: int, name: str, minute: int) -> str:
        """The name as the tables can hold it in this minute.

        `PAST_CAP` if some tags of it may be counted under the id of all others: it has no id, or
        got one when such tags of this hour were there already.
        """
        before = self._complete_from.get((dimension, name), self._others_before.get(dimension, 0))
        return PAST_CAP if minute // 60 < before else name

    async def minutes(self) -> set[int]:
        """Epoch minutes of all rows."""
        rows = await self._connection.exec_driver_sql(
            f"SELECT bucket FROM {LIVE.aggregates} GROUP BY bucket "
            f"UNION SELECT bucket FROM {LIVE.rollups} GROUP BY bucket"
        )
        return {int(row[0]) for row in rows}

    async def minute(self, minute: int) -> tuple[Counts, RollupCounts]:
        """All rows of one minute, with names in place of ids."""
        full: Counts = {}
        rows = await self._connection.exec_driver_sql(
            "SELECT kafka_partition, action, origin_id, brand_id, category_id, count, sum_price "
            f"FROM {LIVE.aggregates} WHERE bucket = {minute}"
        )
        for partition, action, origin, brand, category, count, total in map(tuple, rows):
            names = (
                self._name(1, origin, minute),
                self._name(2, brand, minute),
                self._name(3, category, minute),
            )
            _add(full, (partition, _action(action), *names), int(count), int(total))
        rolled: RollupCounts = {}
        rows = await self._connection.exec_driver_sql(
            "SELECT kafka_partition, action, dimension, value_id, count, sum_price "
            f"FROM {LIVE.rollups} WHERE bucket = {minute}"
        )
        for partition, action, dimension, value, count, total in map(tuple, rows):
            name = self._name(dimension, value, minute)
            _add(rolled, (partition, _action(action), dimension, name), int(count), int(total))
        return full, rolled

    def _name(self, dimension: int, number: int, minute: int) -> str:
        if number == 0:
            return PAST_CAP
        owner, name = self._names.get(number, (0, ""))
        if owner != dimension:
            return f"(id {number}, in no dictionary)"
        return self.known(dimension, name, minute)


def _add(rows: dict[Key, tuple[int, int]], key: Key, count: int, total: int) -> None:
    """Names that count as one share a key."""
    before, sum_before = rows.get(key, (0, 0))
    rows[key] = before + count, sum_before + total


def _action(number: int) -> str:
    return ACTIONS[number] if number < len(ACTIONS) else f"(action {number})"


@asynccontextmanager
async def snapshot(stores: Settings) -> AsyncIterator[TablesSnapshot]:
    """An open snapshot; raises ``SinkUnavailable`` or ``SinkBroken``."""
    engine = create_async_engine(
        database_url(stores),
        connect_args=connect_options(stores),
        isolation_level="REPEATABLE READ",
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection, connection.begin():
            opened = TablesSnapshot(connection)
            await opened.open()
            yield opened
    except (DBAPIError, OSError, EOFError) as error:
        raise sorted_out(error) from error
    finally:
        await engine.dispose()


async def stored_offsets(stores: Settings) -> Mapping[int, tuple[str, int]]:
    """Kafka partition → (topic id, next offset), now."""
    async with snapshot(stores) as taken:
        return taken.offsets
