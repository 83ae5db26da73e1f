"""Has the log applied to profiles again, by deleting the positions of their shards.

The partition actors do the work: a shard without a position is fed from the log's begin. What is
right already does not change (a tag written twice is one member), and erased tags stay erased.
Queries of the shard are refused until it has caught up; all else goes on.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from actors.log.topic_reader import Offsets
from actors.tools.positions import ShardPositions, read_positions
from actors.tools.rebuild.errors import RebuildRefused
from actors.tools.rebuild.run import Watcher
from serve_app.core.names import view_key
from serve_app.core.slots import SLOTS, slots_of
from serve_app.stores.profile_scripts import ACCEPT_LOSS, FORGET, Script, run
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable

LOOK_S: Final = 0.5


class ProfileRebuild:
    """Works on some slots, in whichever shards they are: a fail-over changes a shard's name."""

    def __init__(self, shards: RedisShards, slots: set[int], watcher: Watcher) -> None:
        """``shards`` must be started."""
        self._shards = shards
        self._slots = slots
        self._watcher = watcher
        self._said = ""

    async def forget(self) -> int:
        """Delete each shard's positions; returns how many. Waits for a shard that is down."""
        return await self._run(FORGET)

    async def accept_loss(self) -> int:
        """Accept the losses of each shard; returns in how many positions. Waits likewise."""
        lost = [
            (one.name, field, position.since)
            for one in await self.positions()
            for field, position in sorted(one.fields.items())
            if position.since
        ]
        for name, field, since in lost:
            self._watcher.say(
                f"shard {name}, partition {field}: what came before offset {since} may be "
                "missing, and that is accepted"
            )
        await self._run(ACCEPT_LOSS)
        return len(lost)

    async def follow(self, begins: Offsets, ends: Offsets) -> None:
        """Return once every slot has all tags before ``ends``, however long that takes."""
        while True:
            reached = {
                partition: max(offset, begins[partition])
                for partition, offset in applied(await self.positions(), ends, self._slots).items()
            }
            self._watcher.counted(begins, reached, ends)
            if all(reached[partition] >= end for partition, end in ends.items()):
                return
            await asyncio.sleep(LOOK_S)

    async def positions(self) -> list[ShardPositions]:
        """Of each shard that has some of the slots. Waits for one that is down."""
        while True:
            try:
                return [await read_positions(self._shards, shard) for shard in self._concerned()]
            except ShardUnavailable as error:
                await self._wait(error)

    async def _run(self, script: Script) -> int:
        left, total = set(self._slots), 0
        while left:
            for shard in self._concerned():
                theirs = slots_of(shard.slots)
                if theirs.isdisjoint(left):
                    continue
                try:
                    total += await _run(self._shards, shard, script)
                    left -= theirs
                except ShardUnavailable as error:
                    await self._wait(error)
        return total

    def _concerned(self) -> Sequence[Shard]:
        return [s for s in self._shards.shards if not slots_of(s.slots).isdisjoint(self._slots)]

    async def _wait(self, error: ShardUnavailable) -> None:
        line = f"waiting: {error}"
        if line != self._said:
            self._said = line
            self._watcher.say(line)
        await asyncio.sleep(LOOK_S)


def chosen_slots(shards: RedisShards, name: str) -> set[int]:
    """The slots of the shard whose master has the address ``name``; all of them for no name.

    Raises:
        RebuildRefused: no master has that address; the message names those that there are.
    """
    if not name:
        return set(range(SLOTS))
    shard = shards.named(name)
    if shard is None or not shard.slots:
        there = ", ".join(one.name for one in shards.shards if one.slots)
        raise RebuildRefused(f"--shard: {name} is not the address of a master; these are: {there}")
    return slots_of(shard.slots)


def check_log_is_whole(begins: Offsets) -> None:
    """Check that the log still has all that a shard would forget.

    Raises:
        RebuildRefused: the log was cut. A shard without a position cannot know whether it has what
            came before, and is refused until somebody accepts that.
    """
    cut = {partition: begin for partition, begin in sorted(begins.items()) if begin}
    if cut:
        offsets = ", ".join(f"{partition}: {begin}" for partition, begin in cut.items())
        raise RebuildRefused(
            f"the log begins at the offsets {offsets}: nobody could tell any more whether the "
            "profiles hold what came before, and their queries would be refused until you run "
            "this with --accept-loss. Nothing was changed. --force goes on."
        )


def applied(
    positions: Sequence[ShardPositions], partitions: Iterable[int], slots: set[int]
) -> dict[int, int]:
    """Kafka partition → next offset of the slot that is farthest behind; 0 without a position."""
    concerned = [one for one in positions if not slots_of(one.slots).isdisjoint(slots)]
    if not slots <= set[int]().union(*(slots_of(one.slots) for one in concerned)):
        # Some are in no shard that is known.
        return dict.fromkeys(partitions, 0)
    return {
        partition: min(one.next_offset(partition, slots) or 0 for one in concerned)
        for partition in partitions
    }


async def _run(shards: RedisShards, shard: Shard, script: Script) -> int:
    homes = [view_key(slot) for slot in shard.near_homes]
    (number,) = await shards.on_master(shard, [run(script, homes[0], homes)])
    return int(number)
