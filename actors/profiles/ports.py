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

    async def owner(self) -> Owner:
        """The master's identity, asked now."""
        ...

    async def taken(self) -> frozenset[int]:
        """Slots that other masters have or are importing; asks all of them now.

        A replica that became the master does not know of a slot's move that its master knew of:
        keys may have left without a trace.
        """
        ...

    async def positions(self) -> Sequence[tuple[int, Mapping[str, ViewPosition]]]:
        """(slot, positions by field), the shard's own or not: the first home comes first.

        Then the second, and those of before the homes last changed.
        """
        ...

    async def move(
        self,
        field: str,
        old: ViewPosition | None,
        new: ViewPosition,
        tags: Sequence[LoggedTag] = (),
        *,
        source: tuple[int, ViewPosition] | None = None,
    ) -> frozenset[int]:
        """Apply ``tags`` and move the position from ``old`` (None: absent) to ``new``, as one.

        Both homes hold it afterwards. With ``source``, only if that slot holds that position.

        Returns:
            No slot if that was done; else the slots of ``tags`` that are not in this shard: all
            other tags are applied, and the position is not moved.

        Raises:
            ViewConflict: the position is not ``old``; nothing was changed.
        """
        ...

    async def merge(
        self, main: tuple[str, ViewPosition, ViewPosition], arrivals: tuple[str, ViewPosition]
    ) -> None:
        """Move the main position from its second value to its third, and drop the arrivals'.

        Raises:
            ViewConflict: either is not as given; nothing was changed.
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
