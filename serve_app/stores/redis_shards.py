"""Which node of the Redis Cluster holds which key, kept up to date.

The map comes from CLUSTER SLOTS (https://redis.io/docs/latest/commands/cluster-slots/). It is
refreshed when a node says MOVED, when a node fails, and every `REFRESH_S` seconds.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis

from serve_app.core.slots import SLOTS, Ranges, hash_slot, home_slots, near_homes, slots_of
from serve_app.stores.redis_node import Command, Credentials, NodeUnavailable, RedisNode, Reply

logger = logging.getLogger(__name__)

REFRESH_S = 5.0
_ASK_S = 0.5
_REFUSALS = ("MOVED", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "READONLY")
_MOVES = ("ASK", "TRYAGAIN")
_NO_SCRIPT = "NOSCRIPT"
"""The node lost its scripts: a new connection loads them again."""


class ShardUnavailable(Exception):
    """No node of the shard answers; whether a write was done is unknown."""


class ShardRefuses(ShardUnavailable):
    """The node answered, with an error that waiting does not cure: out of memory, wrong type."""


class SlotMoves(ShardUnavailable):
    """The slot is moving to another shard, and the key is there already, or does not exist."""


@dataclass(slots=True)
class Shard:
    """A master with its replicas."""

    master: RedisNode
    replicas: list[RedisNode] = field(default_factory=list)
    slots: Ranges = ()
    node_id: str = ""
    """Of the master (CLUSTER MYID)."""
    owners: frozenset[str] = frozenset()
    """Ids of the master, of its replicas, and of masters before it, as far as was seen."""
    replica_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The address of its master."""
        return self.master.address

    @property
    def homes(self) -> tuple[int, ...]:
        """The slots of its own that hold its positions (``core.position``)."""
        return home_slots(self.slots)

    @property
    def near_homes(self) -> tuple[int, ...]:
        """The homes, and slots that may have been homes before."""
        return near_homes(self.slots)


class RedisShards:
    """The cluster as a map from slot to shard; one connection per node."""

    def __init__(
        self,
        seeds: Sequence[tuple[str, int]],
        *,
        credentials: Credentials | None = None,
        node_timeout_s: float = 0.1,
        refresh_s: float = REFRESH_S,
        scripts: Sequence[str] = (),
    ) -> None:
        """The map is empty until `start`.

        Args:
            seeds: addresses of any nodes.
            credentials: what each node asks for.
            node_timeout_s: bounds each single request.
            refresh_s: seconds between refreshes of the map while nothing says that it changed.
            scripts: Lua texts that each connection to a master loads first.
        """
        self._seeds = list(seeds)
        self._credentials = credentials or Credentials()
        self._node_timeout_s = node_timeout_s
        self._refresh_s = refresh_s
        self._scripts = tuple(scripts)
        self._nodes: dict[tuple[str, int, str, bool], RedisNode] = {}
        self._by_slot: list[Shard | None] = [None] * SLOTS
        self._shards: list[Shard] = []
        self._trouble_s = [-math.inf] * SLOTS
        self._stale = asyncio.Event()
        self._refreshed = asyncio.Condition()
        self._turn = 0
        self.task: asyncio.Task[None] | None = None
        """The background work; it does not end before `stop`."""

    @property
    def shards(self) -> Sequence[Shard]:
        """All shards that are known, by their lowest slot."""
        return self._shards

    def named(self, name: str) -> Shard | None:
        """The shard whose master has the address ``name``; None if there is none (any more)."""
        return next((shard for shard in self._shards if shard.name == name), None)

    def start(self) -> None:
        """Start to keep the map up to date, in the background; returns at once."""
        self._stale.set()
        self.task = asyncio.create_task(self._follow(), name="redis-shards")

    async def wait_ready(self) -> None:
        """Return when every slot has a shard."""
        async with self._refreshed:
            await self._refreshed.wait_for(lambda: all(self._by_slot))

    async def stop(self) -> None:
        """End the background work and close the connections."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        for node in self._nodes.values():
            node.retire()

    def shard_of(self, key: str) -> Shard:
        """The shard that holds ``key``.

        Raises:
            ShardUnavailable: the map is not known (yet).
        """
        shard = self._by_slot[hash_slot(_hash_tag(key.encode()))]
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
        try:
            return await self._ask(shard.master, commands)
        except ShardUnavailable:
            self._note_trouble(shard)
            raise

    async def on_any(self, shard: Shard, commands: Sequence[Command]) -> tuple[bool, list[Reply]]:
        """Replies of the shard's master or, if that does not answer, of a replica.

        The first of the pair says whether the master gave them.

        Raises:
            ShardUnavailable: none of them answers.
        """
        try:
            return True, await self.on_master(shard, commands)
        except SlotMoves:
            # Of which the replicas know nothing.
            raise
        except ShardUnavailable as error:
            for replica in shard.replicas:
                try:
                    return False, await self._ask(replica, commands)
                except ShardUnavailable:
                    continue
            raise error

    async def check_settled(self, shard: Shard, slot: int) -> None:
        """That no key of ``slot`` has left ``shard`` for another, as all other masters tell.

        For what a node lacks that may not know of a slot on the move: a replica does not, nor
        does it when it becomes the master.

        Raises:
            ShardUnavailable: one has it or is about to, or does not answer.
        """
        if slot in await self.taken(shard):
            self._stale.set()
            raise ShardUnavailable(f"slot {slot} is moving to another Redis node")

    async def taken(self, shard: Shard, former: str = "") -> frozenset[int]:
        """Slots that other masters than that of ``shard`` have or are importing, asked now.

        The master that takes a slot has marked it as importing before the first key comes, and
        owns it after the last.

        Args:
            shard: by the newest map.
            former: id of the master whose place that of ``shard`` took, if it just did.

        Raises:
            ShardUnavailable: a master does not answer, or ``former`` has not heard yet that it was
                replaced: it lists the same slots as its own.
        """
        asked = {shard.master.address}
        taken: set[int] = set()
        nodes = [other.master for other in self._shards if other.name != shard.name]
        while nodes:
            asked.update(node.address for node in nodes)
            found: set[tuple[str, int, str]] = set()
            answers = await asyncio.gather(
                *(self._ask(node, [("CLUSTER", "NODES")]) for node in nodes)
            )
            for (reply,) in answers:
                text = bytes(reply).decode()
                node_id, owned, importing = _own_slots(text)
                its = owned | importing
                if node_id == former and not its.isdisjoint(slots_of(shard.slots)):
                    raise ShardUnavailable(f"node {former} has not heard of its successor yet")
                taken |= its
                found |= _masters(text)
            # A master that takes its first slot is not in the map yet.
            nodes = [
                self._node(host, port, its_id)
                for host, port, its_id in sorted(found)
                if f"{host}:{port}" not in asked
            ]
        return frozenset(taken)

    async def owned(self, shard: Shard) -> frozenset[int]:
        """The slots of ``shard`` as its master has them now; the map may be an old one.

        Raises:
            ShardUnavailable: it does not answer.
        """
        (reply,) = await self._ask(shard.master, [("CLUSTER", "NODES")])
        _, owned, _ = _own_slots(bytes(reply).decode())
        return frozenset(owned)

    def trouble_s(self, slot: int) -> float:
        """When the master of ``slot`` last failed or changed, monotonic; a write may be lost."""
        return self._trouble_s[slot]

    async def changed(self, timeout_s: float) -> None:
        """Refresh the map, waiting at most ``timeout_s``."""
        self._stale.set()
        try:
            async with asyncio.timeout(timeout_s), self._refreshed:
                await self._refreshed.wait()
        except TimeoutError:
            pass

    def _note_trouble(self, shard: Shard) -> None:
        now_s = time.monotonic()
        for first, last in shard.slots:
            self._trouble_s[first : last + 1] = [now_s] * (last + 1 - first)

    async def _ask(self, node: RedisNode, commands: Sequence[Command]) -> list[Reply]:
        try:
            replies = await node.execute(commands, self._node_timeout_s)
        except NodeUnavailable as error:
            self._stale.set()
            raise ShardUnavailable(str(error)) from error
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                text = str(reply)
                self._stale.set()
                if text.startswith(_MOVES):
                    raise SlotMoves(f"Redis node {node.address}: {text}")
                if text.startswith(_NO_SCRIPT):
                    node.close()
                elif not text.startswith(_REFUSALS):
                    logger.warning("Redis node %s refuses: %s", node.address, text)
                    raise ShardRefuses(f"Redis node {node.address}: {text}")
                raise ShardUnavailable(f"Redis node {node.address}: {text}")
        return replies

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._refresh_s):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()
            if not await self._refresh():
                self._stale.set()
            # However often it is requested, only a few refreshes a second.
            await asyncio.sleep(RedisNode.BREAK_S)

    async def _refresh(self) -> bool:
        """Ask one node after the other until one of them gives a complete map."""
        known, seeds = self._known(), self._from_seeds()
        places = {node.address for node in known}
        ring = [*known, *(node for node in seeds if node.address not in places)]
        # A different node first each time: a node that is cut off has an old map.
        self._turn = (self._turn + 1) % len(ring)
        # Of a seed any node will do; of those that are known, names may lead to others.
        for node in [*ring[self._turn :], *ring[: self._turn], *seeds]:
            try:
                (ranges,) = await node.execute([("CLUSTER", "SLOTS")], _ASK_S)
            except NodeUnavailable:
                continue
            if isinstance(ranges, list) and ranges:
                complete = self._install(ranges, node.host)
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
                node_id = _node_id(master)
                shard = Shard(self._node(host, port, node_id), node_id=node_id)
                shard.replica_ids = tuple(map(_node_id, replicas))
                shards[host, port] = shard
                shard.replicas = [
                    self._node(*_address(replica, asked_host), _node_id(replica), replica=True)
                    for replica in replicas
                ]
            by_slot[first : last + 1] = [shard] * (last - first + 1)
            shard.slots += ((first, last),)
        for shard in shards.values():
            # While a slot moves, Redis sometimes reports one run as two.
            shard.slots = _joined(shard.slots)
            shard.owners = frozenset((shard.node_id, *shard.replica_ids)).union(
                *(one.owners for one in self._shards if shard.node_id in one.owners)
            )
            # A node that has changed sides: its positions are of the other shard now.
            shard.owners -= {
                node_id
                for other in shards.values()
                if other is not shard
                for node_id in (other.node_id, *other.replica_ids)
            }
        before, after = self._describe(self._shards), self._describe(list(shards.values()))
        if before != after:
            logger.info("Redis Cluster: %s", after)
            masters = {shard.name: shard.slots for shard in self._shards}
            for shard in shards.values():
                if self._shards and masters.get(shard.name) != shard.slots:
                    self._note_trouble(shard)
        self._by_slot = by_slot
        self._shards = list(shards.values())
        self._forget_others()
        return all(by_slot)

    def _node(self, host: str, port: int, node_id: str = "", *, replica: bool = False) -> RedisNode:
        key = (host, port, node_id, replica)
        node = self._nodes.get(key)
        if node is None:
            node = RedisNode(
                host,
                port,
                credentials=self._credentials,
                node_id=node_id,
                replica=replica,
                scripts=() if replica else self._scripts,
            )
            self._nodes[key] = node
        return node

    def _forget_others(self) -> None:
        used = [*self._known(), *self._from_seeds()]
        for key, node in list(self._nodes.items()):
            if node not in used:
                self._nodes.pop(key).retire()

    def _known(self) -> list[RedisNode]:
        return [node for shard in self._shards for node in (shard.master, *shard.replicas)]

    def _from_seeds(self) -> list[RedisNode]:
        return [self._node(host, port) for host, port in self._seeds]

    @staticmethod
    def _describe(shards: list[Shard]) -> list[tuple[str, list[str]]]:
        return [(shard.name, [replica.address for replica in shard.replicas]) for shard in shards]


def _address(entry: list[Any], asked_host: str) -> tuple[str, int]:
    """Host and port of a CLUSTER SLOTS entry; an empty host means the node that was asked."""
    host = entry[0]
    name = host.decode() if isinstance(host, bytes) else ""
    return (name if name not in ("", "?") else asked_host), int(entry[1])


def _node_id(entry: list[Any]) -> str:
    """The id of a CLUSTER SLOTS entry."""
    return bytes(entry[2]).decode()


def _hash_tag(key: bytes) -> bytes:
    """The part of ``key`` that Redis hashes."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key


def _joined(ranges: Ranges) -> Ranges:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return tuple(joined)


def _own_slots(nodes: str) -> tuple[str, set[int], set[int]]:
    """The id of the node that answered CLUSTER NODES, its slots, and those that it is importing.

    Format: https://redis.io/docs/latest/commands/cluster-nodes/
    """
    node_id = ""
    owned: set[int] = set()
    importing: set[int] = set()
    for line in nodes.splitlines():
        name, _, flags, _, _, _, _, _, *slots = line.split()
        if "myself" not in flags.split(","):
            continue
        node_id = name
        for entry in slots:
            if entry.startswith("["):
                number, arrives, _ = entry[1:].partition("-<-")
                if arrives:
                    importing.add(int(number))
            else:
                first, _, last = entry.partition("-")
                owned.update(range(int(first), int(last or first) + 1))
    return node_id, owned, importing


def _masters(nodes: str) -> set[tuple[str, int, str]]:
    """Hosts, ports and ids of the masters without slots in CLUSTER NODES, without failed ones."""
    masters = set()
    for line in nodes.splitlines():
        node_id, address, flags, _, _, _, _, _state, *slots = line.split()
        if "master" in flags.split(",") and "fail" not in flags.split(",") and not slots:
            # ip:port@cport[,hostname[,key=value]*]
            place, hostname, *_ = [*address.split(","), ""]
            host, _, port = place.partition("@")[0].rpartition(":")
            masters.add((hostname or host, int(port), node_id))
    return masters


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
