"""What a feed needs from a shard.

The real one is ``redis_shard``; the simulation passes one in memory. Every call returns or raises
within its own time limit.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from serve_app.core.erasure import Erasure
from serve_app.core.position import Owner, ViewPosition
from serve_app.core.slots import Ranges
from serve_app.core.tag import UserTag

Copies = Sequence[tuple[int, Mapping[str, ViewPosition]]]
"""(slot, positions by field)."""


class LoggedTag(msgspec.Struct, frozen=True, gc=False):
    """A tag with its offset in the log."""

    tag: UserTag
    time_ms: int
    slot: int
    offset: int
    arrived_ms: int


class ShardView(Protocol):
    """One Kafka partition's profiles in one shard, by its master.

    Raises ``ViewUnavailable`` when the master does not answer or is none any more (what was asked
    may or may not be done), and ``ViewBroken`` when it refuses for a reason that stays.
    """

    @property
    def owned(self) -> Ranges:
        """The slots of the shard, by the newest map; empty when the shard is gone."""
        ...

    async def owned_now(self) -> frozenset[int]:
        """The same as the master itself says; the map may be of a node that has not heard."""
        ...

    async def owner(self) -> Owner:
        """The master's identity, asked now."""
        ...

    async def taken(self, former: str = "") -> frozenset[int]:
        """Slots that other masters have or are importing; asks all of them now.

        A replica that became the master does not know of a slot's move that its master knew of:
        keys may have left without a trace. While that master (the node id ``former``) has not
        heard of its successor yet, what it says of the shard's slots is of no worth, and this
        raises ``ViewUnavailable``.
        """
        ...

    async def positions(self) -> Copies:
        """What this partition's fields hold, the shard's own positions or not, as of one moment.

        In the homes, first the first, and in slots that may have been homes before.
        """
        ...

    async def gather(self, copies: Copies, agreed: Mapping[str, ViewPosition]) -> None:
        """Make the homes hold ``agreed``, and all other slots of ``copies`` nothing.

        Raises:
            ViewConflict: a slot does not hold what ``copies`` says, or the homes have changed;
                nothing was changed.
        """
        ...

    async def clear(self, slots: Ranges) -> None:
        """Remove this partition's positions from those of ``slots`` that are no homes."""
        ...

    async def move(
        self,
        field: str,
        old: ViewPosition | None,
        new: ViewPosition,
        tags: Sequence[LoggedTag] = (),
    ) -> frozenset[int]:
        """Apply ``tags`` and move the position from ``old`` (None: absent) to ``new``, as one.

        Both homes hold it afterwards. `gather` comes first, and again when the homes have changed.

        Returns:
            No slot if that was done; else the slots of ``tags`` that are not in this shard: all
            other tags are applied, and the position is not moved.

        Raises:
            ViewConflict: the position is not ``old``, or the homes have changed; nothing was
                changed.
        """
        ...

    async def merge(
        self, main: tuple[str, ViewPosition, ViewPosition], arrivals: tuple[str, ViewPosition]
    ) -> None:
        """Move the main position from its second value to its third, and drop the arrivals'.

        Raises:
            ViewConflict: either is not as given, or the homes have changed; nothing was changed.
        """
        ...

    async def erase(self, field: str, topic_id: str, erasure: Erasure) -> bool:
        """Erase a cookie of this shard; returns whether that was new in the topic.

        If so, every position of the shard in that topic that was past the erasure's offsets is
        moved back to them.

        Raises:
            ViewConflict: the position of ``field`` is absent or of another topic; nothing was
                changed.
            SlotElsewhere: the cookie's slot is leaving the shard.
        """
        ...
