"""Reads many keys from the masters of their shards, for tools that can wait."""

import asyncio
from collections.abc import Sequence
from typing import Final

from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable

RETRY_S: Final = 0.5


async def ask_masters(
    shards: RedisShards, keys: Sequence[str], commands: Sequence[Command]
) -> list[Reply]:
    """The replies to ``commands``, one for each of ``keys`` and in their order.

    One pipeline per shard. Waits for a shard that is down.
    """
    replies: list[Reply] = [None] * len(keys)
    waiting = list(range(len(keys)))
    while waiting:
        failed: list[int] = []
        for shard, places in shards.group([keys[index] for index in waiting]):
            indexes = [waiting[place] for place in places]
            try:
                if shard is None:
                    raise ShardUnavailable("the map of the Redis Cluster is not known yet")
                found = await shards.on_master(shard, [commands[index] for index in indexes])
            except ShardUnavailable:
                failed += indexes
                continue
            for index, reply in zip(indexes, found, strict=True):
                replies[index] = reply
        if failed:
            await asyncio.sleep(RETRY_S)
        waiting = failed
    return replies
