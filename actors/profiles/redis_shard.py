"""A shard of the Redis Cluster as a ``ShardView``."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from typing_extensions import override

from actors.errors import SlotElsewhere, ViewBroken, ViewConflict, ViewUnavailable
from actors.profiles.ports import Copies, LoggedTag, ShardView
from serve_app.core.erasure import Erasure
from serve_app.core.names import escape_cookie, view_key, view_keys
from serve_app.core.position import Owner, ViewPosition, decode_fields, field_of
from serve_app.core.slots import Ranges, contains, slots_of
from serve_app.stores import profile_scripts
from serve_app.stores.profile_scripts import Script
from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, Shard, ShardRefuses, ShardUnavailable

_CONFLICT: Final = 1
_NO_POSITION: Final = -1
_REMEMBERED: Final = 8


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
        self._fields = (field_of(partition), field_of(partition, arrivals=True))
        self._homes: tuple[int, ...] = ()
        """Where the positions are, as far as this instance knows."""
        self._used: deque[tuple[int, ...]] = deque(maxlen=_REMEMBERED)
        """The same, and where they were before."""

    @property
    @override
    def owned(self) -> Ranges:
        shard = self._shards.named(self.name)
        return shard.slots if shard is not None else ()

    @override
    async def owned_now(self) -> frozenset[int]:
        try:
            return await self._shards.owned(self._shard())
        except ShardUnavailable as error:
            raise ViewUnavailable(str(error)) from error

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
    async def taken(self, former: str = "") -> frozenset[int]:
        try:
            return await self._shards.taken(self._shard(), former)
        except ShardUnavailable as error:
            raise ViewUnavailable(str(error)) from error

    @override
    async def positions(self) -> Copies:
        slots = self._near_homes()
        first, *others = map(view_key, slots)
        replies = await self._run(profile_scripts.POSITIONS, first, others)
        copies = []
        for slot, flat in zip(slots, replies, strict=True):
            if flat is not None:
                stored = decode_fields(flat)
                ours = {name: stored[name] for name in self._fields if name in stored}
                copies.append((slot, ours))
        return copies

    @override
    async def gather(self, copies: Copies, agreed: Mapping[str, ViewPosition]) -> None:
        homes = self._shard().homes
        if not {slot for slot, _ in copies}.issuperset(homes):
            raise ViewConflict(f"shard {self.name}: its slots have changed")
        if any(fields != (agreed if slot in homes else {}) for slot, fields in copies):
            first, second = self._keys()
            arguments = [second, *self._fields, *self._texts(agreed)]
            for slot, fields in copies:
                arguments += [view_key(slot), *self._texts(fields)]
            if await self._run(profile_scripts.GATHER, first, arguments) != 1:
                raise ViewConflict(f"shard {self.name}: its positions have changed")
        if homes != self._homes:
            self._homes = homes
            self._used.append(homes)

    @override
    async def clear(self, slots: Ranges) -> None:
        homes = self._shard().homes
        first, _ = self._keys()
        keys = view_keys(slots_of(slots) - set(homes))
        await self._run(profile_scripts.CLEAR, first, [*self._fields, *keys])

    @override
    async def move(
        self,
        field: str,
        old: ViewPosition | None,
        new: ViewPosition,
        tags: Sequence[LoggedTag] = (),
    ) -> frozenset[int]:
        first, second = self._gathered_keys()
        arguments: list[str | bytes | int] = [
            second,
            field,
            "" if old is None else old.encode(),
            new.encode(),
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
        return frozenset(tags[index].slot for index in rest)

    @override
    async def merge(
        self, main: tuple[str, ViewPosition, ViewPosition], arrivals: tuple[str, ViewPosition]
    ) -> None:
        first, second = self._gathered_keys()
        field, old, new = main
        arguments = [second, field, old.encode(), new.encode(), arrivals[0], arrivals[1].encode()]
        if await self._run(profile_scripts.MERGE, first, arguments) != 1:
            raise ViewConflict(f"shard {self.name}: a position has moved before a merge")

    @override
    async def erase(self, field: str, topic_id: str, erasure: Erasure) -> bool:
        # Other partitions' positions may still be where the homes were before.
        homes = [view_key(slot) for slot in self._near_homes()]
        cookie, mark = escape_cookie(erasure.cookie), erasure.mark(topic_id).encode()
        arguments: list[str | bytes | int] = [field, cookie, mark, erasure.keep_ms, *homes]
        outcome = await self._run(profile_scripts.ERASE, homes[0], arguments)
        if outcome == _NO_POSITION:
            raise ViewConflict(f"shard {self.name}: no position in the topic of an erasure")
        return bool(outcome)

    def _near_homes(self) -> list[int]:
        """Slots that may hold positions, the first home first."""
        shard = self._shard()
        used = (slot for homes in self._used for slot in homes if contains(shard.slots, slot))
        return list(dict.fromkeys((*shard.near_homes, *used)))

    def _gathered_keys(self) -> tuple[str, str]:
        """Of the two homes, which hold the positions.

        Raises:
            ViewConflict: they have changed since `gather`.
        """
        if self._homes != self._shard().homes:
            raise ViewConflict(f"shard {self.name}: its slots have changed")
        return self._keys()

    def _keys(self) -> tuple[str, str]:
        """Of the two homes; the second is empty for a shard of one slot."""
        first, *rest = map(view_key, self._shard().homes)
        return first, rest[0] if rest else ""

    def _texts(self, fields: Mapping[str, ViewPosition]) -> list[str]:
        """As stored, of both of the partition's fields; empty for absent."""
        return [fields[name].encode() if name in fields else "" for name in self._fields]

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
