"""Profiles: the newest tags of a cookie, one sorted set a cookie and action.

Score = event time in ms, member = `serve_app.core.member`. Each write is ZADD and a trim to the
200 highest scores; both can be repeated without harm, in any order.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from serve_app.core.answer import ProfileAnswer
from serve_app.core.deadline import Deadline
from serve_app.core.errors import Unavailable
from serve_app.core.member import decode_member, encode_member
from serve_app.core.names import profile_key
from serve_app.core.query import KEPT_PER_ACTION, ProfileQuery
from serve_app.core.tag import UserTag
from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable

_BEYOND_KEPT: Final = -KEPT_PER_ACTION - 1
"""Rank of the highest score that is not kept."""


class Profiles:
    """Reads and writes through the map of the cluster."""

    def __init__(self, shards: RedisShards) -> None:
        """``shards`` must be started."""
        self._shards = shards

    def group(self, tags: Sequence[UserTag]) -> list[tuple[Shard | None, list[int]]]:
        """Indexes into ``tags`` by the shard that holds them; None where no shard is known."""
        return self._shards.group([profile_key(tag.cookie, tag.action) for tag in tags])

    async def write_shard(self, shard: Shard, tags: Sequence[UserTag]) -> None:
        """Add ``tags``, all of ``shard``, in one pipeline.

        Raises:
            ShardUnavailable: some or all of them may not have been written.
        """
        commands: list[Command] = []
        for tag in tags:
            key = profile_key(tag.cookie, tag.action)
            time_ms = tag.time_ms
            commands.append(("ZADD", key, time_ms, encode_member(tag, time_ms)))
            commands.append(("ZREMRANGEBYRANK", key, 0, _BEYOND_KEPT))
        await self._shards.on_master(shard, commands)

    async def write(self, tags: Sequence[UserTag]) -> list[ShardUnavailable | None]:
        """Add ``tags`` of any shards; None in the place of each that was written."""
        results: list[ShardUnavailable | None] = [None] * len(tags)

        async def write_group(shard: Shard | None, indexes: list[int]) -> None:
            try:
                if shard is None:
                    raise ShardUnavailable("the map of the Redis Cluster is not known yet")
                await self.write_shard(shard, [tags[index] for index in indexes])
            except ShardUnavailable as error:
                for index in indexes:
                    results[index] = error

        await asyncio.gather(*(write_group(*group) for group in self.group(tags)))
        return results

    async def read(self, query: ProfileQuery, deadline: Deadline) -> ProfileAnswer:
        """The answer to ``query``, from the shard's master or else a replica.

        Raises:
            Unavailable: no node of the shard answered before ``deadline``.
        """
        if query.limit == 0:
            return ProfileAnswer(query.cookie, (), ())
        commands: list[Command] = [
            (
                "ZRANGE",
                profile_key(query.cookie, action),
                f"({query.to_ms}",
                query.from_ms,
                "BYSCORE",
                "REV",
                "LIMIT",
                0,
                min(query.limit, KEPT_PER_ACTION),
            )
            for action in ("VIEW", "BUY")
        ]
        views, buys = await self._read(profile_key(query.cookie, "VIEW"), commands, deadline)
        return ProfileAnswer(
            query.cookie,
            [decode_member(member, query.cookie, "VIEW") for member in views],
            [decode_member(member, query.cookie, "BUY") for member in buys],
        )

    async def _read(self, key: str, commands: list[Command], deadline: Deadline) -> list[Reply]:
        while True:
            try:
                return await self._shards.on_any(self._shards.shard_of(key), commands)
            except ShardUnavailable as error:
                if deadline.over:
                    raise Unavailable(f"profiles: {error}") from error
                await self._shards.changed(min(0.05, deadline.left_s()))
