"""A shard of the Redis Cluster as a ``ShardView``."""

from collections.abc import Mapping, Sequence
from typing import Final

from typing_extensions import override

from actors.errors import SlotElsewhere, ViewBroken, ViewConflict, ViewUnavailable
from actors.profiles.ports import LoggedTag, ShardView
from serve_app.core.erasure import Erasure
from serve_app.core.names import escape_cookie, view_key
from serve_app.core.position import Owner, ViewPosition, decode_fields
from serve_app.core.slots import Ranges, contains
from serve_app.stores import profile_scripts
from serve_app.stores.profile_scripts import Script
from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, Shard, ShardRefuses, ShardUnavailable

_CONFLICT: Final = 1
_NO_POSITION: Final = -1


class RedisShard(ShardView):
    """Identified by its master's address: after a fail-over it is another shard."""

    def __init__(self, name: str, partition: int, *, shards: RedisShards, idle_days: float) -> None:
        """Performs no I/O.

        Args:
            name: ``host:port`` of the master.
            partition: the Kafka partition whose positions are moved.
            shards: the map of the cluster, started.
            idle_days: a profile without a tag for this long expires; 0: never.
        """
        self.name = name
        self._partition = partition
        self._shards = shards
        self._rules = profile_scripts.rules(idle_days)
        self._used_homes: tuple[int, ...] = ()

    @property
    @override
    def owned(self) -> Ranges:
        shard = self._shards.named(self.name)
        return shard.slots if shard is not None else ()

    @override
    async def owner(self) -> Owner:
        told = dict(
            line.split(b":", 1)
            for line in bytes(await self._ask(("INFO", "replication"))).splitlines()
            if b":" in line
        )
        return Owner(
            self._shard().node_id,
            told.get(b"master_replid", b"").decode(),
            told.get(b"master_replid2", b"").decode(),
        )

    @override
    async def taken(self) -> frozenset[int]:
        try:
            return await self._shards.taken(self._shard())
        except ShardUnavailable as error:
            raise ViewUnavailable(str(error)) from error

    @override
    async def positions(self) -> Sequence[tuple[int, Mapping[str, ViewPosition]]]:
        shard = self._shard()
        used = [home for home in self._used_homes if contains(shard.slots, home)]
        homes = list(dict.fromkeys([*shard.homes, *used]))
        replies = await self._ask_all([("HGETALL", view_key(home)) for home in homes])
        return [(home, decode_fields(flat)) for home, flat in zip(homes, replies, strict=True)]

    @override
    async def move(
        self,
        field: str,
        old: ViewPosition | None,
        new: ViewPosition,
        tags: Sequence[LoggedTag] = (),
        *,
        source: tuple[int, ViewPosition] | None = None,
    ) -> frozenset[int]:
        first, second = self._keys()
        arguments: list[str | bytes | int] = [
            second,
            field,
            "" if old is None else old.encode(),
            new.encode(),
            *(("", "") if source is None else (view_key(source[0]), source[1].encode())),
            *self._rules,
        ]
        for one in tags:
            arguments += profile_scripts.tag_arguments(
                one.tag, one.time_ms, self._partition, one.offset, one.arrived_ms
            )
        outcome, *rest = await self._run(profile_scripts.MOVE, first, arguments)
        if outcome == _CONFLICT:
            stored = bytes(rest[0]).decode(errors="replace")
            raise ViewConflict(f"shard {self.name}: the position is {stored or 'absent'}")
        self._used_homes = self._shard().homes
        return frozenset(tags[index].slot for index in rest)

    @override
    async def merge(
        self, main: tuple[str, ViewPosition, ViewPosition], arrivals: tuple[str, ViewPosition]
    ) -> None:
        first, second = self._keys()
        field, old, new = main
        arguments = [second, field, old.encode(), new.encode(), arrivals[0], arrivals[1].encode()]
        if await self._run(profile_scripts.MERGE, first, arguments) != 1:
            raise ViewConflict(f"shard {self.name}: a position has moved before a merge")

    @override
    async def erase(self, field: str, topic_id: str, erasure: Erasure) -> bool:
        first, second = self._keys()
        cookie = escape_cookie(erasure.cookie)
        arguments = (second, field, cookie, erasure.mark(topic_id).encode(), erasure.keep_ms)
        outcome = await self._run(profile_scripts.ERASE, first, arguments)
        if outcome == _NO_POSITION:
            raise ViewConflict(f"shard {self.name}: no position in the topic of an erasure")
        return bool(outcome)

    def _keys(self) -> tuple[str, str]:
        """Of the two homes; the second is empty for a shard of one slot."""
        first, *rest = map(view_key, self._shard().homes)
        return first, rest[0] if rest else ""

    async def _run(self, script: Script, key: str, arguments: Sequence[str | bytes | int]) -> Reply:
        return await self._ask(profile_scripts.run(script, key, arguments))

    async def _ask(self, command: Command) -> Reply:
        (reply,) = await self._ask_all([command])
        return reply

    async def _ask_all(self, commands: Sequence[Command]) -> Sequence[Reply]:
        try:
            return await self._shards.on_master(self._shard(), commands)
        except ShardRefuses as error:
            if "non local key" in str(error):
                raise SlotElsewhere(f"a slot is leaving: {error}") from error
            raise ViewBroken(str(error)) from error
        except ShardUnavailable as error:
            raise ViewUnavailable(str(error)) from error

    def _shard(self) -> Shard:
        shard = self._shards.named(self.name)
        if shard is None or not shard.slots:
            raise ViewUnavailable(f"shard {self.name} is no master any more")
        return shard
