"""A Redis Cluster in memory: asynchronous replication, fail-overs, lost writes, moving slots.

The cluster agrees on one `Map`; each node acts on the map that it last received. A node that is cut
off from the others receives no map and replicates nothing, but still answers clients.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hiredis

from serve_app.core.slots import ranges_of
from serve_app.stores.redis_node import Command
from tests.simulation.redis_data import Data, Unit, slot_of
from tests.simulation.scripts import Transaction, run_script, text

REPLICATION_S = 0.003
HEARING_S = 0.05
PORT = 7000


@dataclass(frozen=True, slots=True)
class Map:
    """Owners of slots and masters of replicas, by name."""

    owners: tuple[str, ...]
    masters: dict[str, str]
    """Master by replica."""


@dataclass(slots=True)
class Node:
    """One server; its name is also its host and its id."""

    name: str
    map: Map
    replid: str
    second_replid: str = ""
    data: Data = field(default_factory=Data)
    up: bool = True
    starts: int = 1
    """How often its process has started; a restart breaks all connections."""
    hung: bool = False
    cut_off: bool = False
    """Cut off from the other nodes, not from clients."""
    lagging: bool = False
    """Its replication link is broken, unnoticed."""
    migrating: dict[int, str] = field(default_factory=dict)
    importing: dict[int, str] = field(default_factory=dict)
    synced_with: str = ""
    """Replication id of the history that its data is a prefix of."""
    on_resume: list[Callable[[], None]] = field(default_factory=list)
    """Commands received while it hung."""

    @property
    def is_master(self) -> bool:
        return self.name not in self.map.masters

    def owns(self, slot: int) -> bool:
        """Whether it is the master of the slot by its own map."""
        return self.is_master and self.map.owners[slot] == self.name

    def local(self, key: str, exists: bool) -> bool:
        """Whether a script may access the key on this node."""
        slot = slot_of(key)
        return self.owns(slot) and (exists or slot not in self.migrating)


class RedisCluster:
    """Changes take effect at once; clients connect through `network`."""

    def __init__(
        self, owners: Sequence[str], masters: dict[str, str], spares: Sequence[str] = ()
    ) -> None:
        """``owners`` by slot, ``masters`` by replica; ``spares``: masters without slots."""
        self.map = Map(tuple(owners), masters)
        names = sorted({*owners, *masters, *spares})
        self._replids = 0
        self.nodes = {name: Node(name, self.map, self._new_replid()) for name in names}
        for replica, master in masters.items():
            self._join(self.nodes[replica], master)
        self.on_lost: Callable[[Node, Sequence[Unit]], None] = lambda node, units: None
        """Called with a new master and the units that its shard has lost."""
        self.carried: dict[int, tuple[int, Unit]] = {}
        """Units that migrated a key from another shard: (slot, unit) by identity."""

    # --- what clients ask -----------------------------------------------------------------------

    def execute(self, node: Node, command: Command, readonly: bool) -> Any:
        """The node's reply; the node must be up."""
        name = str(command[0])
        if name == "CLUSTER":
            return self._slots(node) if command[1] == "SLOTS" else self._describe(node)
        if name == "INFO":
            ids = f"master_replid:{node.replid}\r\nmaster_replid2:{node.second_replid or '0' * 40}"
            return f"# Replication\r\n{ids}\r\n".encode()
        key = text(command[3] if name == "EVALSHA" else command[1])
        slot = slot_of(key)
        if not node.owns(slot):
            of_master = node.map.owners[slot] == node.map.masters.get(node.name)
            if not (readonly and of_master and name != "EVALSHA"):
                return hiredis.ReplyError(f"MOVED {slot} {node.map.owners[slot]}:{PORT}")
        elif slot in node.migrating and key not in node.data.values:
            return hiredis.ReplyError(f"ASK {slot} {node.migrating[slot]}:{PORT}")
        if name == "HGETALL":
            fields = node.data.values.get(key) or {}
            return [part.encode() for pair in fields.items() for part in pair]  # type: ignore[union-attr]
        if name == "ZRANGE":
            return _range(node.data.values.get(key) or {}, command)
        assert name == "EVALSHA", name
        transaction = Transaction(node.data.values, node.local)
        reply = run_script(transaction, text(command[1]), key, command[4:])
        if transaction.unit:
            self.write(node, transaction.unit)
        return reply

    def _slots(self, node: Node) -> list[Any]:
        entries = []
        for master in sorted(set(node.map.owners)):
            replicas = sorted(
                name
                for name, its in node.map.masters.items()
                if its == master and (self.nodes[name].up or name == node.name)
            )
            slots = [slot for slot, owner in enumerate(node.map.owners) if owner == master]
            for first, last in ranges_of(slots):
                members = [[name.encode(), PORT, name.encode()] for name in (master, *replicas)]
                entries.append([first, last, *members])
        return entries

    def _describe(self, node: Node) -> bytes:
        """CLUSTER NODES: all slots by the node's own map, and of itself those on the move."""
        lines = []
        for name in sorted(self.nodes):
            slots = [slot for slot, owner in enumerate(node.map.owners) if owner == name]
            entries = [f"{a}-{b}" if a != b else str(a) for a, b in ranges_of(slots)]
            flags = self._flags(node, name)
            if name == node.name:
                entries += [f"[{slot}->-{to}]" for slot, to in node.migrating.items()]
                entries += [f"[{slot}-<-{source}]" for slot, source in node.importing.items()]
            lines.append(" ".join([name, f"{name}:{PORT}@1", flags, "- 0 0 1 connected", *entries]))
        return "\n".join(lines).encode()

    def _flags(self, node: Node, name: str) -> str:
        """Of the node ``name``, as ``node`` sees it.

        A master that was replaced counts as a master until it has heard of it and says so.
        """
        other = self.nodes[name]
        flags = "master" if other.is_master or name not in node.map.masters else "slave"
        if name == node.name:
            return f"myself,{flags}"
        if node.cut_off:
            # Alone it can only suspect.
            return f"{flags},fail?"
        return f"{flags},fail" if not other.up or other.hung or other.cut_off else flags

    # --- replication ----------------------------------------------------------------------------

    def write(self, node: Node, unit: Unit) -> None:
        """Change a master's data; its replicas follow later."""
        node.data.apply(unit)
        loop = asyncio.get_event_loop()
        for name, master in self.map.masters.items():
            if master == node.name:
                loop.call_later(REPLICATION_S, self.sync, self.nodes[name])

    def sync(self, replica: Node) -> None:
        """Bring a replica up to date, if its link works."""
        master = self.nodes.get(replica.map.masters.get(replica.name, ""))
        if master is None or not (replica.up and master.up and master.is_master):
            return
        if replica.lagging or replica.cut_off or master.cut_off or replica.hung or master.hung:
            return
        if replica.synced_with == master.replid:
            for unit in master.data.units[len(replica.data.units) :]:
                replica.data.apply(unit)
        else:
            replica.data.copy_of(master.data)
            replica.synced_with = replica.replid = master.replid
            replica.second_replid = master.second_replid

    def _join(self, node: Node, master: str) -> None:
        """Become a replica; its own data is discarded at the next sync."""
        node.synced_with = ""
        node.migrating.clear()
        node.importing.clear()
        self.sync(node)

    # --- what the nodes agree on ----------------------------------------------------------------

    def tell(self) -> None:
        """Send the newest map to every node that can be reached."""
        for node in self.nodes.values():
            if node.up and not node.hung and not node.cut_off and node.map is not self.map:
                self._hear(node)

    def _hear(self, node: Node) -> None:
        before, node.map = node.map, self.map
        master = self.map.masters.get(node.name)
        if master is not None:
            if before.masters.get(node.name) != master:
                self._join(node, master)
            return
        gone = {slot for slot, owner in enumerate(self.map.owners) if owner != node.name}
        # Keys of a slot that it never owned stay: they came by a move that it has forgotten.
        lost = {slot for slot in gone if before.owners[slot] == node.name}
        unit = {
            key: None
            for key in sorted(node.data.values)
            if slot_of(key) in lost - set(node.importing)
        }
        if unit:
            self.write(node, unit)
        for slot in list(node.migrating):
            if slot in gone:
                del node.migrating[slot]
        for slot in list(node.importing):
            if slot not in gone:
                del node.importing[slot]

    # --- faults ---------------------------------------------------------------------------------

    def promote(self, replica: Node) -> None:
        """Promote a replica, however old its data."""
        old = self.nodes[self.map.masters[replica.name]]
        owners = tuple(replica.name if owner == old.name else owner for owner in self.map.owners)
        masters = {
            name: replica.name if its == old.name else its for name, its in self.map.masters.items()
        }
        del masters[replica.name]
        masters[old.name] = replica.name
        self.map = replace(self.map, owners=owners, masters=masters)
        replica.map = self.map
        replica.second_replid, replica.replid = replica.replid, self._new_replid()
        replica.synced_with = ""
        had, has = old.data.units, replica.data.units
        self.on_lost(replica, had[len(has) :] if had[: len(has)] == has else had)
        self.tell()

    def restart(self, node: Node, lost_units: int) -> None:
        """Start a node that was down; its file lacks the newest ``lost_units``."""
        kept = max(0, len(node.data.units) - lost_units)
        lost = node.data.units[kept:]
        node.data.cut(kept)
        node.replid, node.second_replid = self._new_replid(), ""
        node.starts += 1
        if node.is_master:
            self.on_lost(node, lost)
        node.synced_with = ""
        node.up, node.hung = True, False
        self.rejoin()

    def rejoin(self) -> None:
        """Let all nodes receive the map and replicate."""
        self.tell()
        for other in self.nodes.values():
            self.sync(other)

    def mend(self, node: Node) -> None:
        """End all faults of a running node."""
        node.cut_off = node.lagging = False
        loop = asyncio.get_event_loop()
        node.hung = False
        for arrive in node.on_resume:
            loop.call_soon(arrive)
        node.on_resume.clear()
        # Waiting commands run before the node hears of the others.
        loop.call_later(HEARING_S, self.rejoin)

    # --- slots ----------------------------------------------------------------------------------

    def owner(self, slot: int) -> Node:
        return self.nodes[self.map.owners[slot]]

    def begin_move(self, slot: int, target: Node) -> None:
        source = self.owner(slot)
        target.importing[slot] = source.name
        source.migrating[slot] = target.name

    def migrate_key(self, slot: int, target: Node) -> bool:
        """Migrate one key, replacing the target's; returns whether there was one."""
        source = self.owner(slot)
        keys = source.data.keys_of(slot)
        if not keys:
            return False
        # A target that was a replica when the move began refuses the key: set IMPORTING first.
        target.importing.setdefault(slot, source.name)
        # Positions first: the worst order.
        unit = {keys[-1]: source.data.values[keys[-1]]}
        self.carried[id(unit)] = slot, unit
        self.write(target, unit)
        self.write(source, {keys[-1]: None})
        return True

    def finish_move(self, slot: int, target: Node) -> None:
        """Migrate the remaining keys and assign the slot. A drained master becomes a replica."""
        while self.migrate_key(slot, target):
            pass
        source = self.owner(slot)
        owners = list(self.map.owners)
        owners[slot] = target.name
        masters = dict(self.map.masters)
        if source.name not in owners:
            for name, its in self.map.masters.items():
                if its == source.name:
                    masters[name] = target.name
            masters[source.name] = target.name
        self.map = Map(tuple(owners), masters)
        self.tell()

    def _new_replid(self) -> str:
        self._replids += 1
        return f"r{self._replids}"


def _range(tags: Any, command: Command) -> list[bytes]:
    """ZRANGE key (max min BYSCORE REV LIMIT 0 count."""
    below, least, count = int(text(command[2])[1:]), int(command[3]), int(command[8])
    members = [one for one, time_ms in tags.items() if least <= time_ms < below]
    return sorted(members, key=lambda one: (tags[one], one), reverse=True)[:count]
