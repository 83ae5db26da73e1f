"""Which process is the master of each shard, and since when: a fail-over or a restart shows."""

import asyncio
from typing import Protocol

from serve_app.core.names import profile_key
from serve_app.core.tag import UserTag
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable


class Masters(Protocol):
    """What the replay needs to know of the Redis Cluster."""

    async def run_ids(self) -> dict[str, str] | None:
        """Address of each master → its run id and replication id; None unless all slots have one.

        A Redis process chooses a run id when it starts, and a replication id when it becomes a
        master (https://redis.io/docs/latest/commands/info/): equal ids are one unbroken time as
        the master, in which nothing that was written was lost.
        """
        ...

    def master_of(self, tag: UserTag) -> str | None:
        """Address of the master that holds the tag's profile, None if that is unknown."""
        ...


class ClusterMasters:
    """Asks each master for INFO server and INFO replication."""

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
        """Twice 40 hexadecimal digits."""
        sections = [("INFO", "server"), ("INFO", "replication")]
        told = dict(
            line.split(b":", 1)
            for reply in await self._shards.on_master(shard, sections)
            for line in bytes(reply).splitlines()
            if b":" in line
        )
        try:
            return f"{told[b'run_id'].decode()}/{told[b'master_replid'].decode()}"
        except KeyError as missing:
            raise ShardUnavailable(f"Redis node {shard.name} tells no {missing}") from None
