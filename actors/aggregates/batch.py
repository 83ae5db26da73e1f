"""What a flush writes: the deltas of some consecutive tags, by full key and rolled up.

Keys hold names; ``mysql_sink`` turns them into dictionary ids. A row is the two-element list
``[count, sum_price]``, changed in place: an actor spends most of its time here.
"""

from dataclasses import dataclass, field

from serve_app.core.names import (
    DIMENSION_BRAND,
    DIMENSION_CATEGORY,
    DIMENSION_ORIGIN,
    DIMENSION_TOTAL,
)
from serve_app.core.tag import UserTag

FullKey = tuple[int, str, str, str, str]
"""(epoch minute, action, origin, brand, category)."""
RollupKey = tuple[int, str, int, str]
"""(epoch minute, action, dimension, name); the name of the total is empty."""
Name = tuple[int, str]
"""(dimension, name)."""


@dataclass(slots=True)
class Batch:
    """Deltas of the tags added so far; empty when new."""

    full: dict[FullKey, list[int]] = field(default_factory=dict)
    hours: dict[int, int] = field(default_factory=dict)
    """Tags by epoch hour of event time."""
    tags: int = 0
    watermark_ms: int | None = None
    """Newest event time added, epoch ms."""

    def add(self, tag: UserTag, time_ms: int) -> None:
        """Count one tag; ``time_ms`` is its event time."""
        minute = time_ms // 60_000
        product = tag.product_info
        key = (minute, tag.action, tag.origin, product.brand_id, product.category_id)
        row = self.full.get(key)
        if row is None:
            self.full[key] = [1, product.price]
        else:
            row[0] += 1
            row[1] += product.price
        hour = minute // 60
        self.hours[hour] = self.hours.get(hour, 0) + 1
        self.tags += 1
        if self.watermark_ms is None or time_ms > self.watermark_ms:
            self.watermark_ms = time_ms

    @property
    def rows(self) -> int:
        """Full-key rows; their number bounds the memory and duration of a flush."""
        return len(self.full)

    def rollups(self) -> dict[RollupKey, list[int]]:
        """The same deltas per dimension, and in total; computed once, at the flush."""
        rolled: dict[RollupKey, list[int]] = {}
        for (minute, action, origin, brand, category), (count, sum_price) in self.full.items():
            for key in (
                (minute, action, DIMENSION_TOTAL, ""),
                (minute, action, DIMENSION_ORIGIN, origin),
                (minute, action, DIMENSION_BRAND, brand),
                (minute, action, DIMENSION_CATEGORY, category),
            ):
                row = rolled.get(key)
                if row is None:
                    rolled[key] = [count, sum_price]
                else:
                    row[0] += count
                    row[1] += sum_price
        return rolled

    def without_late(self, first_kept_hour: int) -> "tuple[Batch, int]":
        """The batch without tags of earlier hours, and how many were left out; itself if none."""
        late = sum(tags for hour, tags in self.hours.items() if hour < first_kept_hour)
        if not late:
            return self, 0
        kept = Batch(
            {key: row for key, row in self.full.items() if key[0] // 60 >= first_kept_hour},
            {hour: tags for hour, tags in self.hours.items() if hour >= first_kept_hour},
            self.tags - late,
            self.watermark_ms,
        )
        return kept, late

    def names(self) -> dict[Name, int]:
        """Every name that the rows need an id for, with the newest epoch hour that it is in."""
        by_hour = self._names_by_hour()
        newest: dict[Name, int] = {}
        for hour in sorted(by_hour):
            newest.update(dict.fromkeys(by_hour[hour], hour))
        return newest

    def names_from(self, first_hour: int) -> set[Name]:
        """Those of the names that no earlier hour has."""
        if all(hour < first_hour for hour in self.hours):
            return set()
        names: tuple[set[Name], set[Name]] = (set(), set())
        for hour, found in self._names_by_hour().items():
            names[hour >= first_hour].update(found)
        before, after = names
        return after - before

    def _names_by_hour(self) -> dict[int, set[Name]]:
        by_hour: dict[int, set[Name]] = {}
        for minute, _, origin, brand, category in self.full:
            names = by_hour.setdefault(minute // 60, set())
            names.add((DIMENSION_ORIGIN, origin))
            names.add((DIMENSION_BRAND, brand))
            names.add((DIMENSION_CATEGORY, category))
        return by_hour
