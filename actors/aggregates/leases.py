"""Ids kept in memory, each good up to an hour of event time.

A name leaves the dictionary once every hour that may have rows of it is dropped. So the dictionary
records until which hour each name is needed (``until_hour``), and an actor that counts tags of a
later hour extends that first: a *lease*. The cache holds only what was read or written there, so:

- an id is used up to the hour of its lease only, and ``until_hour`` is no less;
- the name leaves only when ``until_hour`` lies before the first kept hour of all tables;
- that hour never goes back (``retired_names``), and rows of earlier ones are in no answer.

So no row that is ever read lacks its name, even if names were removed between an actor's look-up
and its flush.
"""

from collections.abc import Iterable, Mapping

from actors.aggregates.batch import Name


class Leases:
    """What one sink knows of the dictionary."""

    def __init__(self) -> None:
        self._ids: dict[Name, int] = {}
        self._until: dict[Name, int] = {}

    def __len__(self) -> int:
        """Names known."""
        return len(self._ids)

    def lacking(self, names: Mapping[Name, int]) -> dict[Name, int]:
        """Those of ``names`` (name → newest epoch hour that needs it) without a lease so long."""
        until = self._until
        return {name: hour for name, hour in names.items() if until.get(name, -1) < hour}

    def learn(self, name: Name, number: int, until_hour: int) -> None:
        """The dictionary has the name under this id, at least until this epoch hour."""
        self._ids[name] = number
        self._until[name] = until_hour

    def ids(self, names: Iterable[Name], default: int) -> dict[Name, int]:
        """The id of each, or ``default``."""
        known = self._ids
        return {name: known.get(name, default) for name in names}

    def forget(self) -> None:
        """Forget all names."""
        self._ids.clear()
        self._until.clear()

    def forget_before(self, first_hour: int) -> None:
        """Forget names that were in no hour from ``first_hour`` on; this bounds the memory."""
        over = [name for name, hour in self._until.items() if hour < first_hour]
        for name in over:
            del self._ids[name], self._until[name]
