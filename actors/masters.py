"""Which process is the master of each shard: a fail-over or a restart shows as a new run id."""

import asyncio
from typing import Protocol

from serve_app.core.names import profile_key
from serve_app.core.tag import UserTag
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable


class Masters(Protocol):
    """What the replay needs to know of the Redis Cluster."""

    async def run_ids(self) -> dict[str, str] | None:
        """Address of each master → run id; None unless every slot has one that answers."""
        ...

    def master_of(self, tag: UserTag) -> str | None:
        """Address of the master that holds the tag's profile, None if that is unknown."""
        ...


class ClusterMasters:
    """Asks each master for INFO server."""

    def __init__(self, shards: RedisShards, *, timeout_s: float) -> None:
        """``shards`` must be started; ``timeout_s`` bounds the wait for a whole map."""
        self._shards = shards
        self._timeout_s = timeout_s

    async def run_ids(self) -> dict[str, str] | None:
        """See ``Masters``."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._shards.wait_ready()
        except TimeoutError:
            return None
        ids: dict[str, str] = {}
        for shard in self._shards.shards:
            try:
                ids[shard.name] = await self._run_id(shard)
            except ShardUnavailable:
                return None
        return ids

    def master_of(self, tag: UserTag) -> str | None:
        """See ``Masters``."""
        try:
            return self._shards.shard_of(profile_key(tag.cookie, tag.action)).name
        except ShardUnavailable:
            return None

    async def _run_id(self, shard: Shard) -> str:
        """40 hexadecimal digits that a Redis process chooses at its start."""
        (reply,) = await self._shards.on_master(shard, [("INFO", "server")])
        for line in bytes(reply).splitlines():
            name, _, value = line.partition(b":")
            if name == b"run_id":
                return value.decode()
        raise ShardUnavailable(f"Redis node {shard.name} tells no run id")
