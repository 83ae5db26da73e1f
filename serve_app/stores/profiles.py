"""Profiles: the newest tags of a cookie, one sorted set per cookie and action.

Score = event time in ms, member = `serve_app.core.member`, trimmed to the 200 highest scores. The
partition actors apply every tag of the log (``actors.profiles``); writes from here only make it
quicker, and nothing depends on them.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.core.answer import ProfileAnswer
from serve_app.core.errors import StoreAway
from serve_app.core.member import decode_member
from serve_app.core.names import cookie_slot, profile_key, view_key
from serve_app.core.position import Reached, agreed, own_copies, reached_by_slot
from serve_app.core.query import KEPT_PER_ACTION, ProfileQuery
from serve_app.core.slots import contains
from serve_app.core.tag import ACTIONS, UserTag
from serve_app.stores import profile_scripts
from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable


@dataclass(frozen=True, slots=True)
class Placed:
    """A tag with its place in the log."""

    tag: UserTag
    time_ms: int
    partition: int
    offset: int
    arrived_ms: int


class Profiles:
    """Reads and writes through the map of the cluster."""

    def __init__(self, shards: RedisShards, *, idle_days: float = 0.0) -> None:
        """``shards`` must be started; a profile goes ``idle_days`` after its last tag, 0: never."""
        self._shards = shards
        self._rules = profile_scripts.rules(idle_days)

    async def write(self, tags: Sequence[Placed]) -> None:
        """Write what can be written at once; a shard that is down is left to the feeds."""
        keys = [profile_key(placed.tag.cookie, placed.tag.action) for placed in tags]
        writes = [
            self._write_shard(shard, [tags[index] for index in indexes], keys[indexes[0]])
            for shard, indexes in self._shards.group(keys)
            if shard is not None and not shard.master.down
        ]
        if len(writes) == 1:
            # The rule at low rates: without a task of its own it is sent at once.
            await writes[0]
        else:
            await asyncio.gather(*writes)

    async def _write_shard(self, shard: Shard, tags: Sequence[Placed], key: str) -> None:
        arguments: list[str | bytes | int] = [*self._rules]
        for placed in tags:
            arguments += profile_scripts.tag_arguments(
                placed.tag, placed.time_ms, placed.partition, placed.offset, placed.arrived_ms
            )
        command = profile_scripts.run(profile_scripts.QUICK_WRITE, key, arguments)
        try:
            await self._shards.on_master(shard, [command])
        except ShardUnavailable:
            return

    async def read(self, query: ProfileQuery) -> tuple[Reached, ProfileAnswer]:
        """The answer to ``query`` and how far the node that gave it is, master or replica alike.

        The position is read first: the tags are then at least as new.

        Raises:
            StoreAway: no node of the cookie's shard answers.
        """
        try:
            shard = self._shards.shard_of(profile_key(query.cookie, ACTIONS[0]))
            return await self._read(shard, query)
        except ShardUnavailable as error:
            raise StoreAway(f"profiles: {error}") from error

    async def _read(self, shard: Shard, query: ProfileQuery) -> tuple[Reached, ProfileAnswer]:
        slot = cookie_slot(query.cookie)
        commands: list[Command] = [("HGETALL", view_key(home)) for home in shard.homes]
        for action in ACTIONS:
            commands.append(
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
            )
        by_master, (*homes, views, buys) = await self._shards.on_any(shard, commands)
        copies = own_copies(homes, shard.owners)
        # By the master itself, and not by one whose place it took.
        stamped = all(
            one.node_id == shard.node_id
            for copy in copies
            for one in copy.values()
            if contains(one.slots, slot)
        )
        if query.limit and not (stamped and (by_master or (views and buys))):
            # Of a slot that is being moved a replica knows nothing, and neither does one that has
            # just become the master, until a feed has looked: keys may be elsewhere.
            await self._shards.check_settled(shard, slot)
        reached = reached_by_slot(agreed(copies), slot, shard.name)
        return reached, _answer(query, (views, buys))

    def trouble_s(self, cookie: str) -> float:
        """When the cookie's shard last failed or changed, as this process saw it; monotonic."""
        return self._shards.trouble_s(cookie_slot(cookie))

    async def refresh(self, timeout_s: float) -> None:
        """Wait for a fresh map of the cluster, at most ``timeout_s``."""
        await self._shards.changed(timeout_s)


def _answer(query: ProfileQuery, lists: Sequence[Reply]) -> ProfileAnswer:
    views, buys = (
        [decode_member(member, query.cookie, action) for member in members]
        for action, members in zip(ACTIONS, lists, strict=True)
    )
    return ProfileAnswer(query.cookie, views, buys)
