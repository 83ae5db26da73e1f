"""Which cookies were erased, and up to which arrival time: a small key beside each profile.

The log keeps a tag until its retention ends, so whatever applies old tags to profiles again asks
here first. The key lives in the slot of the profile and ends with the log's retention.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from serve_app.core.names import erased_key
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable

RETRY_S: Final = 0.5


class Erased:
    """Reads and writes the marks."""

    def __init__(self, shards: RedisShards) -> None:
        """``shards`` must be started."""
        self._shards = shards

    async def until(self, cookies: Collection[str]) -> Mapping[str, int]:
        """Cookie → epoch ms; tags that arrived by then are erased. Others are left out.

        A shard that is away is waited for.
        """
        groups: dict[str, list[str]] = {}
        found: dict[str, int] = {}
        waiting = list(cookies)
        while waiting:
            groups.clear()
            failed: list[str] = []
            for cookie in waiting:
                try:
                    shard = self._shards.shard_of(erased_key(cookie))
                    groups.setdefault(shard.name, []).append(cookie)
                except ShardUnavailable:
                    failed.append(cookie)
            for shard in self._shards.shards:
                mine = groups.pop(shard.name, [])
                try:
                    replies = await self._shards.on_master(
                        shard, [("GET", erased_key(cookie)) for cookie in mine]
                    )
                except ShardUnavailable:
                    failed += mine
                    continue
                for cookie, reply in zip(mine, replies, strict=True):
                    if reply is not None:
                        found[cookie] = int(reply)
            failed += [cookie for rest in groups.values() for cookie in rest]
            if failed:
                await asyncio.sleep(RETRY_S)
            waiting = failed
        return found

    async def mark(self, cookie: str, until_ms: int, keep_ms: int | None) -> None:
        """Tags of ``cookie`` that arrived by ``until_ms`` are erased; forget it after ``keep_ms``.

        Raises ``ShardUnavailable``.
        """
        key = erased_key(cookie)
        ending = () if keep_ms is None else ("PX", keep_ms)
        await self._shards.on_master(self._shards.shard_of(key), [("SET", key, until_ms, *ending)])
