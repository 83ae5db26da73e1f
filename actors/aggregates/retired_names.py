"""Names leave the dictionary once no kept hour can have a row of them.

The order of steps, so that no row is ever left without its name (``leases`` has the other half):

1. Retention raises the first kept hour of the live tables (``table_partitions``).
2. It is raised in the tables of a rebuild, too, which may lie behind or have been left over: they
   hold rows of the same names, and count nothing of earlier hours from then on. A rebuild that
   begins later begins with the live bound (``MySQLSink.claim``).
3. Names that no hour from there on needs are removed, a portion in a transaction, each of which
   looks at the bounds once more: those of a database that was restored meanwhile lie further back.

Ids are not used again. AUTO_INCREMENT sees to it; the row with the highest id stays all the same,
for the sake of a dump that carries rows but no counter.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import CursorResult
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from actors.aggregates.database import NO_SUCH_TABLE, Database, error_number
from actors.aggregates.tables import LIVE, SHADOW
from serve_app.core.clock import Clock
from serve_app.core.names import (
    DICTIONARY_TABLE,
    DIMENSION_BRAND,
    DIMENSION_CATEGORY,
    DIMENSION_ORIGIN,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")

PORTION: Final = 1_000
"""Names removed in one transaction: some 10 ms, in which an actor that needs one of them waits."""
COUNT_INTERVAL_S: Final = 30.0
"""Counting 100,000 names takes the server about 20 ms."""
NAMED_DIMENSIONS: Final = (DIMENSION_ORIGIN, DIMENSION_BRAND, DIMENSION_CATEGORY)


@dataclass(slots=True)
class NamesStatus:
    """Of the dictionary, as this instance last saw it."""

    max_names: int
    """Of one dimension."""
    names: Mapping[int, int] = field(default_factory=dict)
    """Dimension → names that have an id."""
    retired: int = 0
    """Names that this instance has removed."""


class RetiredNames:
    """Removes them; all actors do, and it does not matter which is first."""

    def __init__(
        self, database: Database, *, clock: Clock, max_names: int, timeout_s: float
    ) -> None:
        """``timeout_s`` is the budget of one transaction."""
        self._database = database
        self._clock = clock
        self._timeout_s = timeout_s
        self._done_before = 0
        """Names of hours before this one are all gone."""
        self._counted_s: float | None = None
        self.status = NamesStatus(max_names)

    async def work(self) -> None:
        """Remove names that are not needed; count the others, at most every `COUNT_INTERVAL_S`.

        Raises:
            SinkUnavailable: no answer, or a lock that was not granted. Call again.
            SinkBroken: the database refuses a statement.
        """
        bound = await self._transaction(_raise_beside)
        if bound != self._done_before:
            over = await self._transaction(lambda connection: _over(connection, bound))
            done = bound
            for start in range(0, len(over), PORTION):
                done = min(done, await self._remove(over[start : start + PORTION], bound))
            if over:
                logger.info("%d names left the dictionary: no kept hour has them", len(over))
            self._done_before = done
            self._counted_s = None
        now_s = self._clock.monotonic()
        if self._counted_s is None or now_s - self._counted_s >= COUNT_INTERVAL_S:
            self.status.names = await self._transaction(_count)
            self._counted_s = now_s

    async def _remove(self, ids: Sequence[int], bound: int) -> int:
        """Returns the hour up to which it could; less than ``bound`` in a restored database."""

        async def work(connection: AsyncConnection) -> tuple[int, int]:
            before = min(bound, await _bound(connection))
            removed = await connection.exec_driver_sql(
                f"DELETE FROM {DICTIONARY_TABLE} WHERE until_hour < {before} "
                f"AND id IN ({','.join(map(str, ids))})"
            )
            return removed.rowcount, before

        removed, before = await self._transaction(work)
        self.status.retired += removed
        return before

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, self._timeout_s)


async def _raise_beside(connection: AsyncConnection) -> int:
    """The first hour kept by the live tables; those of a rebuild keep no earlier one from now on.

    0 where nothing is counted yet.
    """
    bound = await _least(connection, LIVE.offsets)
    await _if_there(
        connection,
        f"UPDATE {SHADOW.offsets} SET first_kept_hour = {bound} WHERE first_kept_hour < {bound}",
    )
    return bound


async def _bound(connection: AsyncConnection) -> int:
    """The first hour kept by any tables."""
    live = await _least(connection, LIVE.offsets)
    beside = await _if_there(connection, f"SELECT MIN(first_kept_hour) FROM {SHADOW.offsets}")
    least = None if beside is None else beside.scalar_one()
    return live if least is None else min(live, int(least))


async def _least(connection: AsyncConnection, offsets: str) -> int:
    result = await connection.exec_driver_sql(
        f"SELECT COALESCE(MIN(first_kept_hour), 0) FROM {offsets}"
    )
    return int(result.scalar_one())


async def _if_there(connection: AsyncConnection, statement: str) -> "CursorResult[Any] | None":
    """The result of a statement about a table of a rebuild; ``None`` if there is no such table."""
    try:
        return await connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if error_number(error) == NO_SUCH_TABLE:
            return None
        raise


async def _over(connection: AsyncConnection, bound: int) -> list[int]:
    """Ids of the names that only earlier hours needed, in order."""
    result = await connection.exec_driver_sql(
        f"SELECT id FROM {DICTIONARY_TABLE} WHERE until_hour < {bound} "
        f"AND id <> (SELECT MAX(id) FROM {DICTIONARY_TABLE}) ORDER BY id"
    )
    return [row.id for row in result]


async def _count(connection: AsyncConnection) -> dict[int, int]:
    result = await connection.exec_driver_sql(
        f"SELECT dimension, COUNT(*) AS names FROM {DICTIONARY_TABLE} GROUP BY dimension"
    )
    return {**dict.fromkeys(NAMED_DIMENSIONS, 0), **{row.dimension: row.names for row in result}}
