"""Forms the Redis Cluster out of empty nodes; a second run changes nothing.

``python -m setup.redis_cluster --nodes 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103 --replicas 0``

The same script forms the local cluster and, as a job, the one on Kubernetes. It looks at what is
there and does what is missing, so it also finishes a set-up that was cut short: nodes that do not
know each other are introduced, unassigned slots are given to masters, nodes with nothing to
do become replicas. Assigned slots, and roles after a fail-over, are left alone.
"""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final

import redis
import typer

from serve_app.core.settings import Settings
from setup.command_line import run_main

SLOTS: Final = 16_384
_RECONNECT_S: Final = 4.0


class ClusterError(Exception):
    """The cluster cannot be formed, or is not in order before the deadline."""


@dataclass(frozen=True)
class View:
    """The cluster as one node sees it."""

    node_id: str
    known: frozenset[str]
    """Ids of nodes that it has a connection to, and its own."""
    masters: dict[str, frozenset[int]]
    """Slots of each master that it knows, by id; empty for a master without."""
    replica_of: dict[str, str]
    """Master of each replica that it knows, by id."""
    state: str


class Node:
    """One Redis server, by its address ``host:port``."""

    def __init__(self, address: str, settings: Settings) -> None:
        """Connects at the first command."""
        self.address = address
        self.host, _, port = address.rpartition(":")
        if not self.host or not port.isdecimal():
            raise ClusterError(f"{address!r} is not host:port")
        self.port = int(port)
        tls: dict[str, Any] = (
            {"ssl": True, "ssl_ca_certs": settings.redis_ca_file} if settings.redis_ca_file else {}
        )
        self._client = redis.Redis(
            self.host,
            self.port,
            username=settings.redis_username or None,
            password=settings.redis_password.get_secret_value() or None,
            socket_timeout=5.0,
            decode_responses=True,
            **tls,
        )

    def cluster(self, *arguments: str | int) -> Any:
        """Run ``CLUSTER …``; the raw answer, or redis.RedisError."""
        # As two words: redis-py has no parser for that, and its own drops nodes without address.
        return self._client.execute_command("CLUSTER", *arguments)

    def view(self) -> View:
        """Ask it what it sees; raises redis.RedisError."""
        info = str(self.cluster("INFO"))
        return parse_view(str(self.cluster("NODES")), info)

    def forbid_take_over(self) -> None:
        """Not to be elected when its master is silent, as it has yet to copy from that.

        Its pod lifts that (kuberay/base/redis/take-over.sh). Raises redis.RedisError.
        """
        self._client.config_set("cluster-replica-no-failover", "yes")

    def in_step(self) -> bool:
        """Whether it is a replica that has all of its master's data; raises redis.RedisError."""
        info = self._client.info("replication")
        return info.get("master_link_status") == "up" and not info["master_sync_in_progress"]

    def meeting_point(self) -> tuple[str, int, int]:
        """IP address, port and bus port, as CLUSTER MEET wants them: it resolves no names."""
        configured = self._client.config_get("cluster-port").get("cluster-port", "0")
        bus = int(configured or 0) or self.port + 10_000
        return socket.gethostbyname(self.host), self.port, bus

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def parse_view(nodes: str, info: str) -> View:
    """Read the answers of CLUSTER NODES and CLUSTER INFO.

    Format of a line: https://redis.io/docs/latest/commands/cluster-nodes/
    """
    own, known = "", set()
    masters: dict[str, frozenset[int]] = {}
    replica_of: dict[str, str] = {}
    for line in nodes.splitlines():
        node_id, _, flag_text, master, _, _, _, link, *ranges = line.split()
        flags = flag_text.split(",")
        if "myself" in flags:
            own = node_id
        if "handshake" in flags or "noaddr" in flags:
            continue
        if link == "connected":
            known.add(node_id)
        if master == "-":
            masters[node_id] = frozenset(_slots(ranges))
        else:
            replica_of[node_id] = master
    state = dict(line.split(":", 1) for line in info.split()).get("cluster_state", "unknown")
    return View(own, frozenset(known), masters, replica_of, state)


def _slots(ranges: Sequence[str]) -> set[int]:
    slots: set[int] = set()
    for text in ranges:
        if text.startswith("["):  # a slot on its way to another node; its owner lists it as well
            continue
        first, _, last = text.partition("-")
        slots.update(range(int(first), int(last or first) + 1))
    return slots


def even_ranges(parts: int) -> list[range]:
    """All slots in ``parts`` ranges of the same length, give or take one."""
    bounds = [round(SLOTS * part / parts) for part in range(parts + 1)]
    return [range(first, last) for first, last in pairwise(bounds)]


class Formation:
    """One run of the script over a list of nodes."""

    def __init__(
        self, nodes: Sequence[Node], replicas: int, timeout_s: float, say: Callable[[str], None]
    ) -> None:
        """``replicas`` per master; ``timeout_s`` is for the whole run."""
        self._nodes = nodes
        self._replicas = replicas
        self._shards, rest = divmod(len(nodes), 1 + replicas)
        if rest or not self._shards:
            raise ClusterError(f"{len(nodes)} nodes do not divide into {1 + replicas} per shard")
        self._deadline = time.monotonic() + timeout_s
        self._say = say

    def run(self) -> bool:
        """Form the cluster; whether anything had to be done. Raises ClusterError."""
        self._wait("every node to answer", lambda views: None)
        changed = self._introduce() | self._give_slots() | self._make_replicas()
        self._wait("the cluster to be in order", self._disorder)
        return changed

    def _introduce(self) -> bool:
        everyone = {view.node_id for view in self._views()}

        def strangers(views: Sequence[View]) -> str | None:
            fewest = min(len(view.known & everyone) for view in views)
            return None if fewest == len(everyone) else f"one sees {fewest} of {len(everyone)}"

        # Nodes that have just been restarted find each other by themselves, at their old addresses.
        restarted = time.monotonic() + _RECONNECT_S
        while strangers(views := self._views()) and time.monotonic() < restarted:
            if all(len(view.masters) + len(view.replica_of) == 1 for view in views):
                break  # new ones: they know only themselves
            time.sleep(0.1)
        if strangers(self._views()) is None:
            return False
        first = self._nodes[0]
        for node in self._nodes[1:]:
            self._say(f"{first.address} meets {node.address}")
            first.cluster("MEET", *node.meeting_point())
        self._wait("every node to be connected to all others", strangers)
        return True

    def _give_slots(self) -> bool:
        views = self._views()
        taken = frozenset[int]().union(*(s for view in views for s in view.masters.values()))
        if len(taken) == SLOTS:
            return False
        owners = [v.node_id for v in views if any(w.masters.get(v.node_id) for w in views)]
        empty = [v.node_id for v in views if v.node_id not in owners and v.node_id in v.masters]
        # In the order of the list, so that shards keep their numbers.
        chosen = set([*owners, *empty][: self._shards])
        masters = [
            node for node, view in zip(self._nodes, views, strict=True) if view.node_id in chosen
        ]
        if len(masters) < self._shards:
            raise ClusterError(f"only {len(masters)} masters for {self._shards} shards")
        for node, slots in zip(masters, even_ranges(self._shards), strict=False):
            runs = _runs(sorted(set(slots) - taken))
            if runs:
                self._say(f"{node.address} takes {sum(b - a + 1 for a, b in runs)} slots")
                node.cluster("ADDSLOTSRANGE", *(bound for run in runs for bound in run))
        return True

    def _make_replicas(self) -> bool:
        if not self._replicas:
            return False
        changed = False
        self._wait("every node to know the masters", self._unknown_masters)
        for node in self._nodes:
            view = node.view()
            if view.masters.get(view.node_id) or view.node_id in view.replica_of:
                continue
            load = {
                master: sum(of == master for of in view.replica_of.values())
                for master, slots in view.masters.items()
                if slots
            }
            master = min(load, key=lambda candidate: (load[candidate], candidate))
            self._say(f"{node.address} becomes a replica")
            node.cluster("REPLICATE", master)
            changed = True
            self._wait("the others to hear of it", _Knows(view.node_id))
        return changed

    def _unknown_masters(self, views: Sequence[View]) -> str | None:
        fewest = min(sum(map(bool, view.masters.values())) for view in views)
        return None if fewest >= self._shards else f"{fewest} of {self._shards} masters known"

    def _disorder(self, views: Sequence[View]) -> str | None:
        for node, view in zip(self._nodes, views, strict=True):
            covered = sum(map(len, view.masters.values()))
            if view.state != "ok" or covered != SLOTS:
                return f"{node.address} says {view.state}, {covered} of {SLOTS} slots"
        return None

    def _views(self) -> list[View]:
        return [node.view() for node in self._nodes]

    def _wait(self, what: str, problem: Callable[[Sequence[View]], str | None]) -> None:
        while True:
            try:
                answer = problem(self._views())
            except redis.RedisError as error:
                answer = str(error)
            if answer is None:
                return
            if time.monotonic() >= self._deadline:
                raise ClusterError(f"waited in vain for {what}: {answer}")
            time.sleep(0.1)


@dataclass(frozen=True)
class _Knows:
    """Condition: every node sees ``replica`` as a replica."""

    replica: str

    def __call__(self, views: Sequence[View]) -> str | None:
        return None if all(self.replica in view.replica_of for view in views) else "not yet"


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as (first, last) of each unbroken run."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def form(
    settings: Settings, replicas: int, timeout_s: float, say: Callable[[str], None] = print
) -> bool:
    """Form the cluster of ``settings.redis_nodes``; whether it was changed. Raises ClusterError."""
    nodes = [Node(address.strip(), settings) for address in settings.redis_nodes.split(",")]
    try:
        return Formation(nodes, replicas, timeout_s, say).run()
    except redis.RedisError as error:
        raise ClusterError(str(error)) from error
    finally:
        for node in nodes:
            node.close()


def main(
    nodes: Annotated[str, typer.Option(help="host:port,…; default: TAGS_REDIS_NODES.")] = "",
    replicas: Annotated[int, typer.Option(min=0, help="Per master.")] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds for the whole run.")] = 60.0,
) -> int:
    """Form the Redis Cluster out of the given nodes, unless it is formed already."""
    settings = Settings(redis_nodes=nodes) if nodes else Settings()
    try:
        changed = form(settings, replicas, timeout)
    except ClusterError as error:
        typer.echo(f"Redis Cluster: {error}", err=True)
        return 1
    typer.echo("Redis Cluster: formed" if changed else "Redis Cluster: in order, nothing to do")
    return 0


if __name__ == "__main__":
    run_main(main, __doc__)
