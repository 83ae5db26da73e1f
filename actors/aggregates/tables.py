"""Which three tables a sink writes: the live ones, or those that a rebuild fills beside them.

The dictionary is shared: a name keeps its id for as long as a row of either set needs it, so a
row means the same in both.
"""

from dataclasses import dataclass
from typing import Final

from serve_app.core.names import AGGREGATES_TABLE, OFFSETS_TABLE, ROLLUPS_TABLE


@dataclass(frozen=True, slots=True)
class Tables:
    """Names of tables that belong together: ``offsets`` says how far the other two are counted."""

    aggregates: str
    rollups: str
    offsets: str

    @property
    def all(self) -> tuple[str, str, str]:
        """In the order of the fields."""
        return self.aggregates, self.rollups, self.offsets


def _with_suffix(suffix: str) -> Tables:
    return Tables(AGGREGATES_TABLE + suffix, ROLLUPS_TABLE + suffix, OFFSETS_TABLE + suffix)


LIVE: Final = _with_suffix("")
SHADOW: Final = _with_suffix("_rebuild")
"""Being filled by a rebuild."""
OLD: Final = _with_suffix("_old")
"""What was live before a rebuild was swapped in."""
