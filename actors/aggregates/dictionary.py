"""Names of origins, brands and categories ↔ the small numbers that the big tables hold."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.aggregates.batch import Name
from actors.aggregates.database import Database
from actors.errors import SinkUnavailable
from serve_app.core.names import DICTIONARY_TABLE
from serve_app.stores.database import binary_literal

NO_ID: Final = 0
"""Stands for every name past the cap: its tags count in totals and in the other dimensions, and
a query for such a name is refused. AUTO_INCREMENT starts at 1, so no name has this id."""
CHUNK: Final = 500
"""Names of one statement."""


class Dictionary:
    """Ids by name, learnt as names come.

    An id never changes, so what is cached is right until `forget` is called: whoever has reason to
    think that the database is not the one that it was calls it.
    """

    def __init__(self, database: Database, *, max_names: int, timeout_s: float) -> None:
        """``max_names`` a dimension get an id; ``timeout_s`` is the budget of one `ids`."""
        self._database = database
        self._max_names = max_names
        self._timeout_s = timeout_s
        self._known: dict[Name, int] = {}

    async def ids(self, names: Iterable[Name]) -> Mapping[Name, int]:
        """The id of every name asked for (and maybe of more).

        New names are committed in a transaction of their own: the flush that needs them may roll
        back, and nobody may have cached an id that is gone. Raises what `Database` raises.
        """
        missing = sorted(name for name in names if name not in self._known)
        if not missing:
            return self._known
        found = await self._database.transaction(
            lambda connection: self._look_up_or_add(connection, missing), self._timeout_s
        )
        self._known.update(found)
        if len(found) == len(missing):
            return self._known
        return {**dict.fromkeys(missing, NO_ID), **self._known}

    def forget(self) -> None:
        """Ask the database again for every name."""
        self._known.clear()

    async def _look_up_or_add(
        self, connection: AsyncConnection, names: Sequence[Name]
    ) -> dict[Name, int]:
        found: dict[Name, int] = {}
        for dimension in sorted({dimension for dimension, _ in names}):
            wanted = [name for owner, name in names if owner == dimension]
            ids = await _select(connection, dimension, wanted)
            new = [name for name in wanted if name not in ids]
            if new:
                room = self._max_names - await _count(connection, dimension)
                new = new[: max(0, room)]
                # Always in the same order, so that two actors with the same new names wait for
                # each other and do not deadlock.
                await _insert(connection, dimension, new)
                ids |= await _select(connection, dimension, new)
                check_taken(dimension, new, ids)
            found |= {(dimension, name): number for name, number in ids.items()}
        return found


def check_taken(dimension: int, new: Sequence[str], ids: Mapping[str, int]) -> None:
    """That each name for which there was room has an id now.

    An INSERT that collides with another name's id does nothing, without an error: after a change
    of Galera's members, a number may be given out twice. Each attempt takes another number, so
    trying again helps. Counted under `NO_ID`, the tags of the name would be lost to its queries.

    Raises:
        SinkUnavailable: names the first one that has none.
    """
    lost = [name for name in new if name not in ids]
    if lost:
        raise SinkUnavailable(
            f"the dictionary has room for {len(new)} new names and did not take {len(lost)} of "
            f"them, such as {lost[0]!r} (dimension {dimension}): its next id may be in use"
        )


async def _count(connection: AsyncConnection, dimension: int) -> int:
    result = await connection.exec_driver_sql(
        f"SELECT COUNT(*) FROM {DICTIONARY_TABLE} WHERE dimension = {dimension}"
    )
    return int(result.scalar_one())


async def _select(
    connection: AsyncConnection, dimension: int, names: Sequence[str]
) -> dict[str, int]:
    ids: dict[str, int] = {}
    for start in range(0, len(names), CHUNK):
        part = ",".join(map(binary_literal, names[start : start + CHUNK]))
        result = await connection.exec_driver_sql(
            f"SELECT name, id FROM {DICTIONARY_TABLE} "
            f"WHERE dimension = {dimension} AND name IN ({part})"
        )
        ids |= {row.name.decode(): row.id for row in result}
    return ids


async def _insert(connection: AsyncConnection, dimension: int, names: Sequence[str]) -> None:
    for start in range(0, len(names), CHUNK):
        part = names[start : start + CHUNK]
        rows = ",".join(f"({dimension},{binary_literal(name)})" for name in part)
        # Not INSERT IGNORE: that would also cut a name that is too long, without an error.
        await connection.exec_driver_sql(
            f"INSERT INTO {DICTIONARY_TABLE} (dimension, name) VALUES {rows} "
            "ON DUPLICATE KEY UPDATE id = id"
        )
