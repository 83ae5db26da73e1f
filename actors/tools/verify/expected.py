"""What the log says the stores should hold, counted plainly."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from serve_app.core.erasure import Erasure
from serve_app.core.member import encode_member
from serve_app.core.tag import ACTIONS, UserTag

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


class Place(NamedTuple):
    """Where a tag stands in the log."""

    partition: int
    offset: int
    arrived_ms: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """A tag of a profile; the order is that of Redis, which trims the lowest."""

    time_ms: int
    member: bytes
    places: tuple[Place, ...] = field(compare=False, default=())
    """Of the log's records of it: several when a client sent it again."""


class ExpectedCounts:
    """(count, sum of prices) by minute and full key."""

    def __init__(self) -> None:
        self.minutes: dict[int, Counts] = defaultdict(dict)
        self._names: dict[str, str] = {}

    def add(self, partition: int, tag: UserTag) -> None:
        """Count one tag."""
        product = tag.product_info
        # One object per name, however many keys hold it.
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
    """The newest tags of each cookie and action; all but the newest 200 are dropped.

    Partitions may be taken in in any order, each in its own.
    """

    def __init__(self) -> None:
        self._tags: dict[ProfileKey, dict[bytes, Kept]] = defaultdict(dict)
        self._erased: dict[ProfileKey, set[bytes]] = defaultdict(set)
        self._before: dict[str, dict[int, int]] = {}
        self._recorded: dict[str, dict[int, int]] = {}

    def __len__(self) -> int:
        """Cookies and actions that have or had a tag."""
        return len(self._tags.keys() | self._erased.keys())

    def add(self, tag: UserTag, place: Place) -> None:
        """Take in one tag; the same one twice is one, in two places."""
        key = tag.cookie, tag.action
        member = encode_member(tag, tag.time_ms)
        if self._covers(tag.cookie, place):
            self._erased[key].add(member)
            return
        tags = self._tags[key]
        before = tags.get(member)
        places = (place,) if before is None else tuple({*before.places, place})
        tags[member] = Kept(tag.time_ms, member, places)
        if len(tags) > CUT_AT:
            newest = sorted(tags.values(), reverse=True)[:KEPT]
            self._tags[key] = {one.member: one for one in newest}

    def erase(self, erasure: Erasure, place: Place) -> None:
        """Take in an erasure whose record stands at ``place``."""
        cookie = erasure.cookie
        before = self._before.setdefault(cookie, {})
        for partition, offset in erasure.before.items():
            before[partition] = max(offset, before.get(partition, 0))
        recorded = self._recorded.setdefault(cookie, {})
        recorded[place.partition] = max(place.offset, recorded.get(place.partition, 0))
        for action in ACTIONS:
            key = cookie, action
            for member, kept in list(self._tags.get(key, {}).items()):
                left = tuple(one for one in kept.places if not self._covers(cookie, one))
                if left:
                    self._tags[key][member] = replace(kept, places=left)
                else:
                    del self._tags[key][member]
                    self._erased[key].add(member)

    def erasure_of(self, cookie: str) -> Mapping[int, int]:
        """Kafka partition → offset of the newest record of its erasure; empty if there is none."""
        return self._recorded.get(cookie, {})

    def erased(self, key: ProfileKey) -> Set[bytes]:
        """Members that must not be there: all their tags were erased."""
        return self._erased.get(key, set()) - self._tags.get(key, {}).keys()

    def newest(self, key: ProfileKey) -> list[Kept]:
        """At most 200, newest first."""
        return sorted(self._tags.get(key, {}).values(), reverse=True)[:KEPT]

    def _covers(self, cookie: str, place: Place) -> bool:
        before = self._before.get(cookie)
        return before is not None and place.offset < before.get(place.partition, 0)

    def __iter__(self) -> Iterator[ProfileKey]:
        """Every cookie and action that has or had a tag."""
        return iter(self._tags.keys() | self._erased.keys())
