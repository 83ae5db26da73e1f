"""The data of one Redis node: values by key, and the replicated units that produced them.

A unit is the change of one command or script: it reaches a replica or the file completely or not at
all. A node's data is always the result of a prefix of its history of units.
"""

from collections.abc import Mapping
from functools import lru_cache

from serve_app.core.slots import hash_slot

SortedSet = Mapping[bytes, int]
Hash = Mapping[str, str]
Value = SortedSet | Hash | str
Unit = Mapping[str, Value | None]
"""New values by key; None: deleted. Values are immutable."""


@lru_cache(maxsize=4096)
def slot_of(key: str) -> int:
    """Slot of a key, which must have a hash tag. Clear the cache when SLOTS changes."""
    return hash_slot(key[key.index("{") + 1 : key.index("}")].encode())


class Data:
    """A history of units and its result."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self.values: dict[str, Value] = {}

    def apply(self, unit: Unit) -> None:
        """Add one unit."""
        self.units.append(unit)
        for key, value in unit.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value

    def cut(self, units: int) -> None:
        """Roll back to the first ``units`` units."""
        kept = self.units[:units]
        self.units, self.values = [], {}
        for unit in kept:
            self.apply(unit)

    def copy_of(self, other: "Data") -> None:
        """Copy another node's data."""
        self.units, self.values = list(other.units), dict(other.values)

    def keys_of(self, slot: int) -> list[str]:
        """Keys of one slot, sorted."""
        return sorted(key for key in self.values if slot_of(key) == slot)
