"""Places Redis masters and replicas on different hosts: ``python -m setup.kubernetes.redis_hosts``.

Redis does not know hosts, and setup.redis_cluster assigns replicas in any order. Each pod announces
its host (``cluster-announce-human-nodename``, Redis 7.2), and replicas on the host of their master
are swapped with others. Where a host has two masters, as after another one was lost and came back,
a replica elsewhere takes over from one of them. A second run changes nothing.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import redis
import typer

from serve_app.core.settings import Settings, settings
from setup.command_line import run_main
from setup.redis_cluster import ClusterError, Node, View

HOST_SETTING: Final = "cluster-announce-human-nodename"
RETRY_S: Final = 0.5


class NodeDown(ClusterError):
    """A node does not answer."""


def better_masters(hosts: Mapping[str, str], replica_of: Mapping[str, str]) -> dict[str, str]:
    """New master of each replica that should move; keeps the number of replicas per master.

    Args:
        hosts: host of each node, by id.
        replica_of: master's id of each replica, by id.
    """
    now = dict(replica_of)
    for replica in sorted(now):
        if hosts[replica] != hosts[now[replica]]:
            continue
        for other in sorted(now):
            mine, theirs = now[replica], now[other]
            # The swap must improve this replica, and not worsen the other.
            if hosts[replica] != hosts[theirs] and hosts[other] != hosts[mine]:
                now[replica], now[other] = theirs, mine
                break
    return {replica: master for replica, master in now.items() if replica_of[replica] != master}


def better_promotions(
    hosts: Mapping[str, str], masters: Collection[str], replica_of: Mapping[str, str]
) -> list[str]:
    """Replicas that should take over, so that no host has two masters more than another.

    Without the host of most masters no replica is promoted: the others have no majority.

    Args:
        hosts: host of each node, by id.
        masters: ids of the masters that have slots.
        replica_of: master's id of each replica, by id.
    """
    leading = Counter(hosts[master] for master in masters)
    left = set(masters)
    promoted = []
    for replica, master in sorted(replica_of.items()):
        if master in left and leading[hosts[master]] - leading[hosts[replica]] >= 2:
            promoted.append(replica)
            left.discard(master)
            leading[hosts[master]] -= 1
            leading[hosts[replica]] += 1
    return promoted


def shared_hosts(hosts: Mapping[str, str], view: View) -> list[str]:
    """Describes hosts whose loss would stop a shard or prevent a fail-over."""
    found = [
        f"replica {replica[:8]} shares host {hosts[replica]} with its master"
        for replica, master in view.replica_of.items()
        if hosts[replica] == hosts[master]
    ]
    masters = [hosts[master] for master, slots in view.masters.items() if slots]
    found += [
        f"{masters.count(host)} masters on host {host}: without it the others have no majority"
        for host in sorted(set(masters))
        if masters.count(host) > 1 and len(set(hosts.values())) > 1
    ]
    return found


def strangers(hosts: Mapping[str, str], views: Sequence[View]) -> str:
    """What keeps the nodes from being one cluster, in words; empty if nothing does.

    So it is after a disk was lost: a new node that nobody has introduced has the old one's address,
    and the others still know the old one.

    Args:
        hosts: host of each node, by id.
        views: of each node.
    """
    for view in views:
        masters = {master for master, slots in view.masters.items() if slots}
        masters.update(view.replica_of.values())
        if lost := (masters | view.replica_of.keys()) - hosts.keys():
            return f"node {view.node_id} knows nodes that are gone: {', '.join(sorted(lost))}"
        if missing := hosts.keys() - view.masters.keys() - view.replica_of.keys():
            return f"node {view.node_id} was not introduced to {', '.join(sorted(missing))}"
    return ""


def part(wanted: Settings, timeout_s: float) -> list[str]:
    """Move replicas, none while the nodes are not one cluster; returns the remaining problems.

    Raises:
        NodeDown: a node does not answer.
        ClusterError: a node refuses to move, or the cluster is not in order in time.
    """
    nodes = [Node(address.strip(), wanted) for address in wanted.redis_nodes.split(",")]
    try:
        by_id = {node.view().node_id: node for node in nodes}
        hosts = {node_id: _host(node.address, wanted) for node_id, node in by_id.items()}
        if not all(hosts.values()):
            return [f"nodes do not say their host ({HOST_SETTING})"]
        unknown = strangers(hosts, [node.view() for node in nodes])
        if unknown:
            return [unknown]
        moves = better_masters(hosts, nodes[0].view().replica_of)
        for replica, master in moves.items():
            print(f"{by_id[replica].address} becomes a replica of {by_id[master].address}")
            by_id[replica].cluster("REPLICATE", master)
            # It has another shard's data: elected with these, it would overwrite that master. Only
            # now, as its pod lifts that from one that has all of its master's data.
            by_id[replica].forbid_take_over()
        give_up_s = time.monotonic() + timeout_s

        def wait(what: str, done: Callable[[], bool]) -> None:
            while not done():
                if time.monotonic() > give_up_s:
                    raise ClusterError(f"waited in vain for {what}")
                time.sleep(RETRY_S)

        def heard(moved: Callable[[View], bool]) -> None:
            wait("all nodes to hear of the moves", lambda: all(moved(n.view()) for n in nodes))

        heard(lambda view: moves.items() <= view.replica_of.items())
        view = nodes[0].view()
        masters = [master for master, slots in view.masters.items() if slots]
        for replica in better_promotions(hosts, masters, view.replica_of):
            # Its master holds back writes for up to 5 s for one that is not.
            wait("a replica to have its master's data", by_id[replica].in_step)
            print(f"{by_id[replica].address} takes over from its master")
            _promote(by_id[replica], give_up_s)
            heard(partial(_leads, replica))
        return shared_hosts(hosts, nodes[0].view())
    except (
        redis.AuthenticationError
    ) as error:  # a ConnectionError of redis-py, but the node answers
        raise ClusterError(str(error)) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise NodeDown(str(error)) from error
    except redis.RedisError as error:
        raise ClusterError(str(error)) from error
    finally:
        for node in nodes:
            node.close()


def _leads(node_id: str, view: View) -> bool:
    return bool(view.masters.get(node_id))


def _promote(replica: Node, give_up_s: float) -> None:
    """Fail over in agreement with the master; one that has just become a replica can soon.

    Raises:
        redis.RedisError: it cannot in time.
    """
    while True:
        try:
            replica.cluster("FAILOVER")
            return
        except redis.ResponseError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(RETRY_S)


def _host(address: str, wanted: Settings) -> str:
    name, _, port = address.rpartition(":")
    with redis.Redis(
        name,
        int(port),
        username=wanted.redis_username or None,
        password=wanted.redis_password.get_secret_value() or None,
        ssl=bool(wanted.redis_ca_file),
        ssl_ca_certs=wanted.redis_ca_file or None,
        socket_timeout=5.0,
        decode_responses=True,
    ) as client:
        return str(client.config_get(HOST_SETTING).get(HOST_SETTING, ""))


def main(
    timeout: Annotated[float, typer.Option(help="Seconds for the moves.")] = 60.0,
    unless_down: Annotated[
        bool, typer.Option("--unless-down", help="Succeed also where a node is missing.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where a problem remains.")] = False,
) -> int:
    """Exit status: 1 if nodes cannot be asked or moved; with ``--strict`` also for what remains."""
    try:
        problems = part(settings(), timeout)
    except ClusterError as error:
        print(f"Redis Cluster: {error}", file=sys.stderr)
        return 0 if unless_down and isinstance(error, NodeDown) else 1
    for problem in problems:
        print(f"Redis Cluster: {problem}", file=sys.stderr)
    if not problems:
        print("Redis Cluster: every shard stands on hosts of its own")
    # Not worth a failed installation: an operator can correct it, and nothing is lost meanwhile.
    return int(strict and bool(problems))


if __name__ == "__main__":
    run_main(main, __doc__)
