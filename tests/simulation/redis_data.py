"""What one Redis node holds: values by key, and the units of replication that made them.

A unit is what one command or one script changed: it reaches a replica or the file as a whole or
not at all. A node's data is always what some number of units made of nothing.
"""

from collections.abc import Mapping
from functools import lru_cache

from serve_app.core.slots import hash_slot

SortedSet = Mapping[bytes, int]
Hash = Mapping[str, str]
Value = SortedSet | Hash | str
Unit = Mapping[str, Value | None]
"""New values by key; None: deleted. Values are never changed in place."""


@lru_cache(maxsize=4096)
def slot_of(key: str) -> int:
    """The slot of a key; every key here has a hash tag. Clear the cache when SLOTS changes."""
    return hash_slot(key[key.index("{") + 1 : key.index("}")].encode())


class Data:
    """A history of units, and what they amount to."""

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
        """Go back to what the first ``units`` made."""
        kept = self.units[:units]
        self.units, self.values = [], {}
        for unit in kept:
            self.apply(unit)

    def copy_of(self, other: "Data") -> None:
        """Become what another node holds."""
        self.units, self.values = list(other.units), dict(other.values)

    def keys_of(self, slot: int) -> list[str]:
        """Keys of one slot, in order."""
        return sorted(key for key in self.values if slot_of(key) == slot)
