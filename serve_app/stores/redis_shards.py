"""Which node of the Redis Cluster holds which key, kept up to date.

The map comes from CLUSTER SLOTS (https://redis.io/docs/latest/commands/cluster-slots/). It is
asked for again when a node says MOVED, when a node fails, and every `REFRESH_S` seconds.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis
from redis.crc import key_slot

from serve_app.stores.redis_node import Command, Credentials, NodeUnavailable, RedisNode, Reply

logger = logging.getLogger(__name__)

SLOTS = 16_384
REFRESH_S = 5.0
_ASK_S = 0.5
_REFUSALS = ("MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "TRYAGAIN", "READONLY")


class ShardUnavailable(Exception):
    """No node of the shard answers for now; whether a write was done is unknown."""


@dataclass(slots=True)
class Shard:
    """A master with its replicas."""

    master: RedisNode
    replicas: list[RedisNode] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The address of its master."""
        return self.master.address


class RedisShards:
    """The cluster as a map from slot to shard; one connection a node."""

    def __init__(
        self,
        seeds: Sequence[tuple[str, int]],
        *,
        credentials: Credentials | None = None,
        node_timeout_s: float = 0.1,
    ) -> None:
        """``seeds``: addresses of any nodes; ``node_timeout_s`` bounds each single request."""
        self._seeds = list(seeds)
        self._credentials = credentials or Credentials()
        self._node_timeout_s = node_timeout_s
        self._nodes: dict[tuple[str, int, bool], RedisNode] = {}
        self._by_slot: list[Shard | None] = [None] * SLOTS
        self._shards: list[Shard] = []
        self._stale = asyncio.Event()
        self._refreshed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def shards(self) -> Sequence[Shard]:
        """All shards that are known, by their lowest slot."""
        return self._shards

    def start(self) -> None:
        """Begin to learn and follow the map, in the background; returns at once."""
        self._stale.set()
        self._task = asyncio.create_task(self._follow(), name="redis-shards")

    async def wait_ready(self) -> None:
        """Return when every slot has a shard."""
        async with self._refreshed:
            await self._refreshed.wait_for(lambda: all(self._by_slot))

    async def stop(self) -> None:
        """End the background work and close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for node in self._nodes.values():
            node.close()

    def shard_of(self, key: str) -> Shard:
        """The shard that holds ``key``.

        Raises:
            ShardUnavailable: the map is not known (yet).
        """
        shard = self._by_slot[key_slot(key.encode())]
        if shard is None:
            self._stale.set()
            raise ShardUnavailable("the map of the Redis Cluster is not known yet")
        return shard

    def group(self, keys: Iterable[str]) -> list[tuple[Shard | None, list[int]]]:
        """Indexes into ``keys`` by the shard that holds them; None where no shard is known."""
        groups: dict[int, tuple[Shard | None, list[int]]] = {}
        for index, key in enumerate(keys):
            shard: Shard | None
            try:
                shard = self.shard_of(key)
            except ShardUnavailable:
                shard = None
            groups.setdefault(id(shard), (shard, []))[1].append(index)
        return list(groups.values())

    async def on_master(self, shard: Shard, commands: Sequence[Command]) -> list[Reply]:
        """Replies of the shard's master, none of them an error.

        Raises:
            ShardUnavailable: it is down, or says that the slots are not its own.
        """
        return await self._ask(shard.master, commands)

    async def on_any(self, shard: Shard, commands: Sequence[Command]) -> list[Reply]:
        """Replies of the shard's master or, if that does not answer, of a replica.

        Raises:
            ShardUnavailable: none of them answers.
        """
        try:
            return await self._ask(shard.master, commands)
        except ShardUnavailable as error:
            for replica in shard.replicas:
                try:
                    return await self._ask(replica, commands)
                except ShardUnavailable:
                    continue
            raise error

    async def changed(self, timeout_s: float) -> None:
        """Ask for a fresh map and wait for it, at most ``timeout_s``."""
        self._stale.set()
        try:
            async with asyncio.timeout(timeout_s), self._refreshed:
                await self._refreshed.wait()
        except TimeoutError:
            pass

    async def _ask(self, node: RedisNode, commands: Sequence[Command]) -> list[Reply]:
        try:
            replies = await node.execute(commands, self._node_timeout_s)
        except NodeUnavailable as error:
            self._stale.set()
            raise ShardUnavailable(str(error)) from error
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                text = str(reply)
                if not text.startswith(_REFUSALS):
                    logger.warning("Redis node %s refuses: %s", node.address, text)
                self._stale.set()
                raise ShardUnavailable(f"Redis node {node.address}: {text}")
        return replies

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()
            if not await self._refresh():
                self._stale.set()
            # However often it is asked for, no more than some refreshes a second.
            await asyncio.sleep(RedisNode.BREAK_S)

    async def _refresh(self) -> bool:
        """Ask one node after the other until one of them tells a whole map."""
        known = [(shard.master.host, shard.master.port) for shard in self._shards]
        known += [(r.host, r.port) for shard in self._shards for r in shard.replicas]
        for host, port in dict.fromkeys([*known, *self._seeds]):
            node = self._node(host, port, replica=False)
            try:
                (ranges,) = await node.execute([("CLUSTER", "SLOTS")], _ASK_S)
            except NodeUnavailable:
                continue
            if isinstance(ranges, list) and ranges:
                complete = self._install(ranges, host)
                async with self._refreshed:
                    self._refreshed.notify_all()
                if complete:
                    return True
        return False

    def _install(self, ranges: list[Any], asked_host: str) -> bool:
        shards: dict[tuple[str, int], Shard] = {}
        by_slot: list[Shard | None] = [None] * SLOTS
        for first, last, master, *replicas in sorted(ranges, key=lambda entry: entry[0]):
            host, port = _address(master, asked_host)
            shard = shards.get((host, port))
            if shard is None:
                shard = Shard(self._node(host, port, replica=False))
                shards[host, port] = shard
                shard.replicas = [
                    self._node(*_address(replica, asked_host), replica=True) for replica in replicas
                ]
            by_slot[first : last + 1] = [shard] * (last - first + 1)
        before, after = self._describe(self._shards), self._describe(list(shards.values()))
        if before != after:
            logger.info("Redis Cluster: %s", after)
        self._by_slot = by_slot
        self._shards = list(shards.values())
        self._forget_others()
        return all(by_slot)

    def _node(self, host: str, port: int, *, replica: bool) -> RedisNode:
        key = (host, port, replica)
        node = self._nodes.get(key)
        if node is None:
            node = RedisNode(host, port, credentials=self._credentials, replica=replica)
            self._nodes[key] = node
        return node

    def _forget_others(self) -> None:
        used = {(s.master.host, s.master.port, False) for s in self._shards}
        used |= {(r.host, r.port, True) for s in self._shards for r in s.replicas}
        used |= {(host, port, False) for host, port in self._seeds}
        for key in self._nodes.keys() - used:
            self._nodes.pop(key).close()

    @staticmethod
    def _describe(shards: list[Shard]) -> list[tuple[str, list[str]]]:
        return [(shard.name, [replica.address for replica in shard.replicas]) for shard in shards]


def _address(entry: list[Any], asked_host: str) -> tuple[str, int]:
    """Host and port of a CLUSTER SLOTS entry; an empty host means the node that was asked."""
    host = entry[0]
    name = host.decode() if isinstance(host, bytes) else ""
    return (name if name not in ("", "?") else asked_host), int(entry[1])


def parse_nodes(text: str) -> list[tuple[str, int]]:
    """``host:port,host:port`` as pairs.

    Raises:
        ValueError: an entry without a port.
    """
    nodes = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, separator, port = entry.rpartition(":")
        if not separator or not host:
            raise ValueError(f"{entry!r} is not host:port")
        nodes.append((host, int(port)))
    return nodes
