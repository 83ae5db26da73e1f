"""Names of origins, brands and categories ↔ the small numbers that the big tables hold.

A name has an id from its first tag until every hour with rows of it is dropped (``leases``,
``retired_names``); ids are not reused. So the cap limits the names of about a day, not of all time.
Names past the cap share id 0, and a query for one of them is refused.

A name of a tag that is dated far ahead stays until event time gets there, if ever. A new one that
comes with such tags only gets an id while fewer than half of the cap stay for so long. So a flood
of them shuts out no name of the day.

A name may get its id late, when there is room again. Then some of its tags are counted under id 0,
in hours before ``other_names.before_hour``, which becomes its ``complete_from_hour``. Readers
refuse queries about earlier hours, but only if their minutes have tags under id 0 at all. A
transaction that adds a name, or finds no room for one, holds the row of ``other_names`` until it
commits, so that two of them cannot miss each other.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.aggregates.batch import Name
from actors.aggregates.database import DEADLOCK, Database, error_number
from actors.aggregates.leases import Leases
from actors.errors import SinkUnavailable
from serve_app.core.names import DICTIONARY_TABLE, OTHER_NAMES_TABLE
from serve_app.stores.database import binary_literal

NO_ID: Final = 0
"""Stands for every name past the cap: its tags count in totals and in the other dimensions, and
a query for such a name is refused. AUTO_INCREMENT starts at 1, so no name has this id."""
CHUNK: Final = 500
"""Names per statement."""
ATTEMPTS: Final = 4
"""Attempts of one look-up that collides with others on the same names."""

Found = dict[str, tuple[int, int]]
"""Name → (id, until_hour)."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Which names come with tags only that are dated far ahead."""

    from_hour: int
    """Epoch hour from which on they are."""
    names: Set[Name]


class _Vanished(Exception):
    """A name left between look-up and extension of its lease: look it up again."""


class Dictionary:
    """Ids by name, learnt as names come.

    A known id is valid up to the hour of its lease, or until `forget`, which must be called if the
    database may have been replaced or restored.
    """

    def __init__(self, database: Database, *, max_names: int, timeout_s: float) -> None:
        """``max_names``: with an id, per dimension. ``timeout_s`` is the budget of one look-up."""
        self._database = database
        self._max_names = max_names
        self._timeout_s = timeout_s
        self._leases = Leases()

    async def ids(
        self, names: Mapping[Name, int], ahead: Ahead | None = None
    ) -> Mapping[Name, int]:
        """The id of each name, or `NO_ID`. ``names``: name → newest epoch hour it is needed for.

        New names and longer leases are committed in a transaction of their own: the flush that
        needs them may roll back, and no id that was rolled back may be cached.

        Raises:
            SinkUnavailable: no answer, or a name for which there is room was not taken.
            SinkBroken: the database refuses a statement.
        """
        lacking = self._leases.lacking(names)
        if lacking:
            for name, (number, until_hour) in (await self._ask(lacking, ahead)).items():
                self._leases.learn(name, number, until_hour)
        return self._leases.ids(names, NO_ID)

    def forget(self) -> None:
        """Ask the database again for every name."""
        self._leases.forget()

    def forget_before(self, first_hour: int) -> None:
        """Drop names that were last in an hour before this one, as those hours are dropped."""
        self._leases.forget_before(first_hour)

    async def _ask(
        self, names: Mapping[Name, int], ahead: Ahead | None
    ) -> dict[Name, tuple[int, int]]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._database.transaction(
                    lambda connection: self._lease(connection, names, ahead), self._timeout_s
                )
            except _Vanished:
                continue
            except SinkUnavailable as error:
                cause = error.__cause__
                if cause is None or error_number(cause) != DEADLOCK or attempt == ATTEMPTS:
                    raise
        raise SinkUnavailable("names leave the dictionary as fast as they are looked up")

    async def _lease(
        self, connection: AsyncConnection, names: Mapping[Name, int], ahead: Ahead | None
    ) -> dict[Name, tuple[int, int]]:
        leases: dict[Name, tuple[int, int]] = {}
        short: dict[int, int] = {}
        # Always in the same order, so that actors with the same new names wait for each other and
        # do not deadlock.
        for dimension in sorted({dimension for dimension, _ in names}):
            hours = {
                name: names[owner, name] for owner, name in sorted(names) if owner == dimension
            }
            found = await _select(connection, dimension, hours)
            new = {name: hour for name, hour in hours.items() if name not in found}
            if new:
                found |= await self._add(connection, dimension, new, ahead)
            for name, (number, until_hour) in found.items():
                leases[dimension, name] = number, max(until_hour, hours[name])
                if until_hour < hours[name]:
                    short[number] = hours[name]
        await _extend(connection, short)
        return leases

    async def _add(
        self,
        connection: AsyncConnection,
        dimension: int,
        names: Mapping[str, int],
        ahead: Ahead | None,
    ) -> Found:
        """Those of ``names`` that there is room for, and those that another actor has added."""
        complete_from = await _hold_others(connection, dimension)
        found = await _select(connection, dimension, names)
        new = {name: hour for name, hour in names.items() if name not in found}
        room = self._max_names - await _count(connection, dimension) if new else 0
        far = {name for name in new if ahead is not None and (dimension, name) in ahead.names}
        far_room = 0
        if ahead is not None and far:
            there = await _count(connection, dimension, ahead.from_hour)
            far_room = self._max_names // 2 - there
        taken: dict[str, int] = {}
        capped: dict[str, int] = {}
        for name, hour in new.items():
            if len(taken) < room and (name not in far or far_room > 0):
                taken[name] = hour
                far_room -= name in far
            else:
                capped[name] = hour
        if taken:
            await _insert(connection, dimension, taken, complete_from)
            added = await _select(connection, dimension, taken)
            check_taken(dimension, list(taken), added)
            found |= added
        if capped:
            await _extend_others(connection, dimension, max(capped.values()) + 1)
        return found


def check_taken(dimension: int, new: Sequence[str], ids: Iterable[str]) -> None:
    """Check that each name for which there was room has an id now.

    An INSERT that collides with another name's id does nothing, without an error: after a change
    of Galera's members, a number may be given out twice. Each attempt takes another number, so
    trying again helps. Counted under `NO_ID`, the tags of the name would be lost to its queries.

    Raises:
        SinkUnavailable: names the first one that has none.
    """
    lost = sorted(set(new).difference(ids))
    if lost:
        raise SinkUnavailable(
            f"the dictionary has room for {len(new)} new names and did not take {len(lost)} of "
            f"them, such as {lost[0]!r} (dimension {dimension}): its next id may be in use"
        )


async def _count(connection: AsyncConnection, dimension: int, from_hour: int = 0) -> int:
    """Names that stay at least until this hour."""
    result = await connection.exec_driver_sql(
        f"SELECT COUNT(*) FROM {DICTIONARY_TABLE} "
        f"WHERE dimension = {dimension} AND until_hour >= {from_hour}"
    )
    return int(result.scalar_one())


async def _select(connection: AsyncConnection, dimension: int, names: Iterable[str]) -> Found:
    found: Found = {}
    wanted = list(names)
    for start in range(0, len(wanted), CHUNK):
        part = ",".join(map(binary_literal, wanted[start : start + CHUNK]))
        result = await connection.exec_driver_sql(
            f"SELECT name, id, until_hour FROM {DICTIONARY_TABLE} "
            f"WHERE dimension = {dimension} AND name IN ({part})"
        )
        found |= {row.name.decode(): (row.id, row.until_hour) for row in result}
    return found


async def _insert(
    connection: AsyncConnection, dimension: int, names: Mapping[str, int], complete_from: int
) -> None:
    wanted = list(names.items())
    for start in range(0, len(wanted), CHUNK):
        rows = ",".join(
            f"({dimension},{binary_literal(name)},{hour},{complete_from})"
            for name, hour in wanted[start : start + CHUNK]
        )
        # Not INSERT IGNORE: that would also cut a name that is too long, without an error.
        await connection.exec_driver_sql(
            f"INSERT INTO {DICTIONARY_TABLE} (dimension, name, until_hour, complete_from_hour) "
            f"VALUES {rows} ON DUPLICATE KEY UPDATE id = id"
        )


async def _extend(connection: AsyncConnection, until_hours: Mapping[int, int]) -> None:
    """``until_hours``: id → hour. Raises `_Vanished`; in the order of ids, as others do it."""
    ids = sorted(until_hours)
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        cases = " ".join(f"WHEN {number} THEN {until_hours[number]}" for number in part)
        extended = await connection.exec_driver_sql(
            f"UPDATE {DICTIONARY_TABLE} SET until_hour = GREATEST(until_hour, CASE id {cases} END) "
            f"WHERE id IN ({','.join(map(str, part))})"
        )
        if extended.rowcount != len(part):
            raise _Vanished


async def _hold_others(connection: AsyncConnection, dimension: int) -> int:
    """Lock the dimension's row of ``other_names``; returns its ``before_hour``."""
    # An INSERT rather than a SELECT … FOR UPDATE: it also locks what is not there yet.
    await _extend_others(connection, dimension, 0)
    result = await connection.exec_driver_sql(
        f"SELECT before_hour FROM {OTHER_NAMES_TABLE} WHERE dimension = {dimension}"
    )
    return int(result.scalar_one())


async def _extend_others(connection: AsyncConnection, dimension: int, before_hour: int) -> None:
    await connection.exec_driver_sql(
        f"INSERT INTO {OTHER_NAMES_TABLE} (dimension, before_hour) "
        f"VALUES ({dimension},{before_hour}) "
        "ON DUPLICATE KEY UPDATE before_hour = GREATEST(before_hour, VALUES(before_hour))"
    )
