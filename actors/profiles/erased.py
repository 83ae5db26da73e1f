"""Which cookies were erased, and up to which arrival time: a small key beside each profile.

The log keeps a tag until its retention ends, so whatever applies old tags to profiles again asks
here first. The key lives in the slot of the profile and ends with the log's retention.
"""

from collections.abc import Collection, Mapping

from actors.tools.patient_reads import ask_masters
from serve_app.core.names import erased_key
from serve_app.stores.redis_shards import RedisShards


class Erased:
    """Reads and writes the marks."""

    def __init__(self, shards: RedisShards) -> None:
        """``shards`` must be started."""
        self._shards = shards

    async def until(self, cookies: Collection[str]) -> Mapping[str, int]:
        """Cookie → epoch ms; tags that arrived by then are erased. Others are left out.

        A shard that is away is waited for.
        """
        cookies = list(cookies)
        keys = [erased_key(cookie) for cookie in cookies]
        replies = await ask_masters(self._shards, keys, [("GET", key) for key in keys])
        return {
            cookie: int(reply)
            for cookie, reply in zip(cookies, replies, strict=True)
            if reply is not None
        }

    async def mark(self, cookie: str, until_ms: int, keep_ms: int | None) -> None:
        """Tags of ``cookie`` that arrived by ``until_ms`` are erased; forget it after ``keep_ms``.

        Raises ``ShardUnavailable``.
        """
        key = erased_key(cookie)
        ending = () if keep_ms is None else ("PX", keep_ms)
        await self._shards.on_master(self._shards.shard_of(key), [("SET", key, until_ms, *ending)])
