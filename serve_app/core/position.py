"""How far a shard's profiles are: the position that stands in the shard beside its data.

One position for each Kafka partition says: every tag of this topic's partition with an offset
below ``next_offset``, of a cookie in one of ``slots``, is in this data set (or was trimmed, expired
or erased). It is written atomically with the tags that it covers, so it shares the fate of the
data: a lagging replica, a truncated file and a promoted old copy each carry a position that is true
of their own data.

The two homes of a shard (``core.slots``) hold it. A copy that leaves with its slot must not be
believed when it comes back: it would speak of what the shard had before it lost data, or before
another of its slots was away, and its owner is the shard's. So the feeds of the shard where a slot
arrives remove the copy, those of the shard where heavier slots have come empty the former homes,
and homes that hold different positions are believed only as far as they agree.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from serve_app.core.slots import Ranges, contains, format_ranges, parse_ranges, ranges_of, slots_of

ARRIVALS: Final = "+"
"""Suffix of the field for slots that came from another shard and are still being fed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Identifies a master, also after a restart or a fail-over.

    A node keeps its id when it starts again. A replica that is promoted keeps the replication id
    of its former master as its second one.
    """

    node_id: str
    replid: str = ""
    second_replid: str = ""

    @property
    def text(self) -> str:
        """As stored in a position."""
        return f"{self.node_id}/{self.replid}"

    def wrote(self, position: "ViewPosition") -> bool:
        """Whether this master wrote the position, or the one that it took over from."""
        _, _, replid = position.owner.partition("/")
        return position.node_id == self.node_id or (
            replid != "" and replid in (self.replid, self.second_replid)
        )


@dataclass(frozen=True, slots=True)
class ViewPosition:
    """One claim about one Kafka partition."""

    topic_id: str
    """Kafka's id of the topic, 32 hexadecimal digits."""
    next_offset: int
    slots: Ranges
    """The slots that it covers."""
    owner: str
    """Which master wrote it (`Owner.text`): a copy that came with its slot from another shard
    shows by it."""
    since: int = 0
    """Above 0: the log began here when this was claimed, and what came before it is unknown."""

    @property
    def node_id(self) -> str:
        """Of the master that wrote it."""
        return self.owner.partition("/")[0]

    def encode(self) -> str:
        """As stored: ``topic:next_offset:since:owner:slots``."""
        slots = format_ranges(self.slots)
        return f"{self.topic_id}:{self.next_offset}:{self.since}:{self.owner}:{slots}"


@lru_cache(maxsize=512)
def decode_position(text: bytes) -> ViewPosition:
    """Inverse of `ViewPosition.encode`.

    Raises:
        ValueError: another shape.
    """
    topic_id, next_offset, since, owner, slots = text.decode("ascii").split(":")
    return ViewPosition(topic_id, int(next_offset), parse_ranges(slots), owner, int(since))


def field_of(partition: int, *, arrivals: bool = False) -> str:
    """The hash field of a position."""
    return f"{partition}{ARRIVALS}" if arrivals else str(partition)


def decode_fields(flat: Sequence[bytes]) -> dict[str, ViewPosition]:
    """The answer to HGETALL: field → position; what cannot be read is left out."""
    positions = {}
    for name, text in zip(flat[::2], flat[1::2], strict=True):
        try:
            positions[name.decode()] = decode_position(text)
        except ValueError:
            continue
    return positions


def own_copies(
    homes: Sequence[Sequence[bytes]], owners: Collection[str]
) -> list[dict[str, ViewPosition]]:
    """Answers to HGETALL without what other shards' masters wrote: it came here with its slot.

    Of homes that hold the same, one. ``owners``: ids of the nodes that are, or were, the shard's
    master.
    """
    return [
        {name: one for name, one in decode_fields(flat).items() if one.node_id in owners}
        for index, flat in enumerate(homes)
        if flat not in homes[:index]
    ]


def agreed(copies: Iterable[Mapping[str, ViewPosition]]) -> dict[str, ViewPosition]:
    """What copies of a shard's own positions say together: true if one of the copies is.

    They are the same unless the shard's slots have just changed: one that was away with its slot
    may be of data that the shard has lost meanwhile. A copy without any position of a partition
    has no part in it.
    """
    some = [copy for copy in copies if copy]
    if len(some) == 1:
        return dict(some[0])
    together: dict[str, dict[str, ViewPosition]] = {}
    for copy in some:
        for partition in {name.removesuffix(ARRIVALS) for name in copy}:
            names = {partition, partition + ARRIVALS} & copy.keys()
            before = together.get(partition)
            together[partition] = (
                {name: copy[name] for name in names}
                if before is None
                else {
                    name: _weaker(before[name], copy[name])
                    for name in names & before.keys()
                    if before[name].topic_id == copy[name].topic_id
                }
            )
    return {name: one for positions in together.values() for name, one in positions.items()}


def _weaker(one: ViewPosition, other: ViewPosition) -> ViewPosition:
    if one == other:
        return one
    return replace(
        one,
        next_offset=min(one.next_offset, other.next_offset),
        slots=ranges_of(slots_of(one.slots) & slots_of(other.slots)),
        since=max(one.since, other.since),
    )


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a view is with what a query asks for."""

    topic_ids: frozenset[str]
    """Ids of the topics that the offsets belong to: one, unless two were mixed up."""
    offsets: Mapping[int, int]
    """Kafka partition → the next offset that is not in the view yet."""
    lost: str = ""
    """Why the view cannot become complete by itself; normally empty."""


def reached_by_slot(positions: Mapping[str, ViewPosition], slot: int, shard: str) -> Reached:
    """How far ``shard`` has applied the log to the cookies of ``slot``, by its own positions."""
    offsets: dict[int, int] = {}
    topics = set()
    lost = ""
    for name, position in positions.items():
        if not contains(position.slots, slot):
            continue
        partition = int(name.removesuffix(ARRIVALS))
        offsets[partition] = max(offsets.get(partition, 0), position.next_offset)
        topics.add(position.topic_id)
        if position.since:
            lost = (
                f"shard {shard} lost more than the log still has: what partition {partition} "
                f"held before offset {position.since} is unknown"
            )
    return Reached(frozenset(topics), offsets, lost)
