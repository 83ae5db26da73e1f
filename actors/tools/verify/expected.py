"""What the log says the stores should hold, counted plainly."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from serve_app.core.member import encode_member
from serve_app.core.tag import UserTag

KEPT: Final = 200
"""Tags of one action that a profile is sure to have."""
CUT_AT: Final = 2 * KEPT

RowKey = tuple[int, str, str, str, str]
"""(Kafka partition, action, origin, brand, category)."""
RollupKey = tuple[int, str, int, str]
"""(Kafka partition, action, dimension, name)."""
ProfileKey = tuple[str, str]
"""(cookie, action)."""
Counts = dict[RowKey, tuple[int, int]]
RollupCounts = dict[RollupKey, tuple[int, int]]


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """A tag of a profile; the order is that of Redis, which trims the lowest."""

    time_ms: int
    member: bytes
    arrived_ms: int = field(compare=False, default=0)


class ExpectedCounts:
    """(count, sum of prices) by minute and full key."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self.minutes: dict[int, Counts] = defaultdict(dict)
        self._names: dict[str, str] = {}

    def add(self, partition: int, tag: UserTag) -> None:
        """Count one tag."""
        product = tag.product_info
        # One object a name, however many keys hold it.
        origin, brand, category = (
            self._names.setdefault(name, name)
            for name in (tag.origin, product.brand_id, product.category_id)
        )
        row = (partition, tag.action, origin, brand, category)
        counts = self.minutes[tag.time_ms // 60_000]
        count, total = counts.get(row, (0, 0))
        counts[row] = count + 1, total + product.price


def rolled_up(counts: Counts) -> RollupCounts:
    """One minute's rows by one dimension at a time (1, 2, 3) and in total (0, no name)."""
    rolled: RollupCounts = {}
    for (partition, action, *names), (count, total) in counts.items():
        for dimension, name in enumerate(("", *names)):
            key = (partition, action, dimension, name)
            before, sum_before = rolled.get(key, (0, 0))
            rolled[key] = before + count, sum_before + total
    return rolled


class ExpectedProfiles:
    """The newest tags of each cookie and action; older ones than the newest 200 are let go."""

    def __init__(self) -> None:
        """No tags yet."""
        self._tags: dict[ProfileKey, dict[bytes, Kept]] = defaultdict(dict)

    def __len__(self) -> int:
        """Cookies and actions."""
        return len(self._tags)

    def add(self, tag: UserTag, arrived_ms: int) -> None:
        """Take in one tag; the same one twice is one, which arrived last."""
        kept = Kept(tag.time_ms, encode_member(tag, tag.time_ms), arrived_ms)
        tags = self._tags[tag.cookie, tag.action]
        tags[kept.member] = kept
        if len(tags) > CUT_AT:
            newest = sorted(tags.values(), reverse=True)[:KEPT]
            self._tags[tag.cookie, tag.action] = {one.member: one for one in newest}

    def newest(self, key: ProfileKey) -> list[Kept]:
        """At most 200, newest first."""
        return sorted(self._tags.get(key, {}).values(), reverse=True)[:KEPT]

    def __iter__(self) -> Iterator[ProfileKey]:
        """Every cookie and action."""
        return iter(self._tags)

    def __contains__(self, key: object) -> bool:
        """Whether the range has a tag of this cookie and action."""
        return key in self._tags
