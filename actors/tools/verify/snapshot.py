"""What MySQL holds, offsets and rows of one moment."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import NullPool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from actors.aggregates.database import sorted_out
from actors.aggregates.tables import LIVE
from actors.tools.verify.expected import Counts, RollupCounts
from serve_app.core.names import DICTIONARY_TABLE
from serve_app.core.settings import Settings
from serve_app.core.tag import ACTIONS
from serve_app.stores.database import connect_options, database_url

PAST_CAP: Final = ""
"""In the place of every name that came after the dictionary was full; no name is empty."""


class Snapshot:
    """Reads within one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Call `open` first."""
        self._connection = connection
        self.offsets: dict[int, tuple[str, int]] = {}
        """Kafka partition → (topic id, next offset)."""
        self.first_kept_minute = 0
        """Epoch minute; of what is older the tables may hold anything or nothing."""
        self._names: dict[int, tuple[int, str]] = {}
        self._ids: dict[int, set[str]] = {1: set(), 2: set(), 3: set()}

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
            f"SELECT id, dimension, name FROM {DICTIONARY_TABLE}"
        )
        for number, dimension, name in map(tuple, rows):
            self._names[number] = dimension, name.decode(errors="replace")
            self._ids.setdefault(dimension, set()).add(name.decode(errors="replace"))

    def known(self, dimension: int, name: str, cap: int) -> str:
        """The name as the tables can hold it: that of all others once the dictionary is full."""
        names = self._ids[dimension]
        return name if name in names or len(names) < cap else PAST_CAP

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
            names = self._name(1, origin), self._name(2, brand), self._name(3, category)
            full[partition, _action(action), *names] = int(count), int(total)
        rolled: RollupCounts = {}
        rows = await self._connection.exec_driver_sql(
            "SELECT kafka_partition, action, dimension, value_id, count, sum_price "
            f"FROM {LIVE.rollups} WHERE bucket = {minute}"
        )
        for partition, action, dimension, value, count, total in map(tuple, rows):
            name = self._name(dimension, value)
            rolled[partition, _action(action), dimension, name] = int(count), int(total)
        return full, rolled

    def _name(self, dimension: int, number: int) -> str:
        if number == 0:
            return PAST_CAP
        owner, name = self._names.get(number, (0, ""))
        return name if owner == dimension else f"(id {number}, in no dictionary)"


def _action(number: int) -> str:
    return ACTIONS[number] if number < len(ACTIONS) else f"(action {number})"


@asynccontextmanager
async def snapshot(stores: Settings) -> AsyncIterator[Snapshot]:
    """An open snapshot; raises ``SinkUnavailable`` or ``SinkBroken``."""
    engine = create_async_engine(
        database_url(stores),
        connect_args=connect_options(stores),
        isolation_level="REPEATABLE READ",
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection, connection.begin():
            opened = Snapshot(connection)
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
