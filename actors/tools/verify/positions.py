"""The positions in the shards against the log."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from actors.log.topic_reader import TopicReader
from actors.tools.positions import ShardPositions, all_positions
from actors.tools.verify.differences import Difference
from serve_app.core.slots import format_ranges, ranges_of
from serve_app.stores.redis_shards import RedisShards

SETTLE_S: Final = 10.0
"""A slot that comes from another shard has a position within seconds."""
RETRY_S: Final = 1.0


async def compare_positions(tags: TopicReader, shards: RedisShards) -> tuple[int, list[Difference]]:
    """How many positions there are, and what is wrong with them for longer than `SETTLE_S`.

    ``tags`` is open and ``shards`` started; waits for a shard that is down.
    Raises ``LogUnavailable``.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + SETTLE_S
    while True:
        positions = await all_positions(shards)
        # After the positions, which move on with the log.
        ends = await tags.ends()
        found = differences(positions, tags.topic_id, await tags.begins(), ends)
        if not found or loop.time() >= give_up_s:
            return sum(len(one.lanes(p)) for one in positions for p in ends), found
        await asyncio.sleep(RETRY_S)


def differences(
    positions: Sequence[ShardPositions],
    topic_id: str,
    begins: Mapping[int, int],
    ends: Mapping[int, int],
) -> list[Difference]:
    """Reasons why a reader could not rely on the positions.

    Each shard needs a position of each partition for all of its slots, of the topic that there is,
    within the log, and with nothing lost.
    """
    found = []
    for one in positions:
        for partition, end in sorted(ends.items()):
            where = f"shard {one.name} partition {partition}"
            lanes = one.lanes(partition)
            if missing := one.without(partition):
                stored = f"none for {format_ranges(ranges_of(missing))}" if lanes else "none"
                found.append(Difference("position", where, "one for all its slots", stored))
            for lane in lanes:
                begin, offset = begins[partition], lane.next_offset
                if lane.topic_id != topic_id:
                    pair = f"topic id {topic_id}", f"topic id {lane.topic_id}"
                elif not begin <= offset <= end:
                    pair = f"{begin} to {end}", str(offset)
                elif lane.since:
                    pair = "nothing lost", f"what came before {lane.since} is unknown"
                else:
                    continue
                found.append(Difference("position", where, *pair))
    return found
