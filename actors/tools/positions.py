"""The positions of the shards, for tools that show them or wait for them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from serve_app.core.names import view_key
from serve_app.core.position import ARRIVALS, ViewPosition, agreed, field_of, own_copies
from serve_app.core.slots import Ranges, contains, slots_of
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable

RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class ShardPositions:
    """Of one shard, as its master had them at one moment."""

    name: str
    slots: Ranges
    """That the shard has, by the map."""
    fields: Mapping[str, ViewPosition]
    """What this shard's masters wrote (``core.position.field_of``)."""

    def lanes(self, partition: int) -> list[ViewPosition]:
        """The main position of a Kafka partition and that of its arrivals, as far as they exist."""
        names = field_of(partition), field_of(partition, arrivals=True)
        return [self.fields[name] for name in names if name in self.fields]

    def without(self, partition: int) -> set[int]:
        """Slots of the shard that no position of the partition covers."""
        return slots_of(self.slots).difference(*(slots_of(p.slots) for p in self.lanes(partition)))

    def next_offset(self, partition: int, wanted: set[int] | None = None) -> int | None:
        """All tags before it are applied to every slot of the shard, or to those ``wanted``.

        None: some of the slots have no position.
        """
        slots = slots_of(self.slots)
        if wanted is not None:
            slots &= wanted
        # A slot that two lanes cover is as far as the farther one.
        lowest: int | None = None
        for lane in sorted(self.lanes(partition), key=lambda one: -one.next_offset):
            theirs = slots & slots_of(lane.slots)
            if theirs:
                lowest, slots = lane.next_offset, slots - theirs
        return None if slots else lowest

    def reached(self, slot: int) -> dict[int, int]:
        """Kafka partition → next offset, of one slot; without those that have no position."""
        offsets: dict[int, int] = {}
        for name, position in self.fields.items():
            if contains(position.slots, slot):
                partition = int(name.removesuffix(ARRIVALS))
                offsets[partition] = max(position.next_offset, offsets.get(partition, 0))
        return offsets


async def all_positions(shards: RedisShards) -> list[ShardPositions]:
    """Of every shard that has slots; waits for one that is down."""
    while True:
        try:
            return [await read_positions(shards, shard) for shard in shards.shards if shard.slots]
        except ShardUnavailable:
            await asyncio.sleep(RETRY_S)


async def read_positions(shards: RedisShards, shard: Shard) -> ShardPositions:
    """Ask the master of ``shard``.

    Raises:
        ShardUnavailable: it does not answer, or is none any more.
    """
    slots = shard.slots
    homes = await shards.on_master(shard, [("HGETALL", view_key(home)) for home in shard.homes])
    positions = agreed(own_copies(homes, shard.owners))
    return ShardPositions(shard.name, slots, positions)
