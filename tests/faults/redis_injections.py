"""Injections into Redis: old copies, lost shards, moving slots."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import redis

from setup.local.ports import HOST
from setup.local.tools import find_tool
from tests.faults.cut_process import borrow, let_in, let_nothing_in, sockets_of
from tests.faults.fault_context import FaultContext
from tests.faults.injections import Heal, freeze, keep_down, nothing
from tests.faults.targets import NotFoundError

_FIND_S: Final = 20.0
_BEHIND_S: Final = 14.0
"""Longer than the promise of 10 s, so that the old copy lacks promised tags."""
_MOVED_SLOTS: Final = 1_000


def kill_all_redis(context: FaultContext) -> Heal:
    """``kill -9`` of every Redis node at once; supervisors restart them at once."""
    for name in context.targets.names("redis"):
        context.targets.part(name).kill()
    return nothing


def keep_shard_down(context: FaultContext) -> Heal:
    """``kill -9`` of a master and of its replicas, which stay down until healed."""
    return keep_down(context, _shard(context))


def empty_shard(context: FaultContext) -> Heal:
    """``kill -9`` of a master and of its replicas; they come back without any data."""
    names = _shard(context)
    start = keep_down(context, names)

    def heal() -> None:
        for name in names:
            _empty(context.platform.folder.data(name))
        start()

    return heal


def promote_old_replica(context: FaultContext) -> Heal:
    """Promote an old copy: stop a replica, later kill its master, and start the replica."""
    master, (replica, *_) = _shard_with_replica(context)
    start_replica = keep_down(context, [replica])

    def heal() -> None:
        start_master = keep_down(context, [master])
        start_replica()
        try:
            _wait_for_master(context, replica)
        finally:
            start_master()

    return heal


def break_link_then_freeze_master(context: FaultContext) -> Heal:
    """Break a replica's link (wrong ``masterauth``) for 14 s; then SIGSTOP its master."""
    master, (replica, *_) = _shard_with_replica(context)
    with context.targets.redis_client(replica) as client:
        client.config_set("masterauth", "wrong")
    with context.targets.redis_client(master) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(_BEHIND_S)
    thaw = freeze(context, master)

    def heal() -> None:
        thaw()
        with context.targets.redis_client(replica) as client:
            client.config_set("masterauth", "")

    return heal


def split_master_off(context: FaultContext) -> Heal:
    """Cut a master off from the other nodes of the cluster; clients still reach it."""
    targets, platform = context.targets, context.platform
    master, replicas = _shard_with_replica(context)
    nodes = targets.names("redis")
    bus_ports = {platform.ports["redis_bus"] + index for index in range(len(nodes))}
    number = nodes.index(master)
    own_bus = platform.ports["redis_bus"] + number
    cut: list[socket.socket] = []
    ends = {own_bus}
    """Local ports of the master's cluster bus connections."""
    for one, local, peer in _connections(targets.part(master).pid):
        if local == own_bus or peer in bus_ports:
            ends.add(local)
            cut.append(one)
        else:
            one.close()
    for name in nodes:
        if name == master:
            continue
        data = {platform.ports["redis"] + number} if name in replicas else set()
        for one, local, peer in _connections(targets.part(name).pid):
            # New connections too: the master would reconnect.
            if peer in ends | data or (peer == 0 and local in bus_ports):
                cut.append(one)
            else:
                one.close()
    for one in cut:
        let_nothing_in(one)

    def heal() -> None:
        for one in cut:
            let_in(one)
            one.close()

    return heal


def move_slots(context: FaultContext) -> Heal:
    """``redis-cli --cluster reshard`` of a thousand slots under load, and back by ``rebalance``."""
    source, target = context.random.sample(context.targets.redis_masters(), 2)
    ids = []
    for name in (source, target):
        with context.targets.redis_client(name) as client:
            ids.append(client.cluster("MYID").decode())
    moved = ("--cluster-from", ids[0], "--cluster-to", ids[1])
    count = ("--cluster-slots", str(_MOVED_SLOTS), "--cluster-yes")
    _redis_cli(context, "reshard", *moved, *count)
    return lambda: _redis_cli(context, "rebalance", "--cluster-threshold", "1")


def _shard(context: FaultContext) -> list[str]:
    master = context.random.choice(context.targets.redis_masters())
    return [master, *context.targets.redis_replicas(master)]


def _shard_with_replica(context: FaultContext) -> tuple[str, list[str]]:
    deadline = time.monotonic() + _FIND_S
    while True:
        with suppress(NotFoundError, redis.RedisError):
            return context.random.choice(context.targets.redis_shards())
        if time.monotonic() > deadline:
            raise NotFoundError("no Redis shard with its replicas in sync")
        time.sleep(0.2)


def _connections(pid: int) -> Iterator[tuple[socket.socket, int, int]]:
    """(handle, local port, remote port or 0) of a process's TCP sockets."""
    for number, _ in sockets_of(pid):
        one = borrow(pid, number)
        if one is None:
            continue
        if one.family != socket.AF_INET:
            one.close()
            continue
        try:
            peer = int(one.getpeername()[1])
        except OSError:
            peer = 0
        yield one, int(one.getsockname()[1]), peer


def _empty(folder: Path) -> None:
    """Remove a node's data, but not its cluster configuration."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "nodes.conf":
            entry.unlink()


def _wait_for_master(context: FaultContext, name: str) -> None:
    deadline = time.monotonic() + _FIND_S
    while time.monotonic() < deadline:
        with suppress(NotFoundError):
            if name in context.targets.redis_masters():
                return
        time.sleep(0.2)
    raise NotFoundError(f"{name} was not promoted")


def _redis_cli(context: FaultContext, command: str, *options: str) -> None:
    """``redis-cli --cluster``; having nothing to do is no error."""
    address = f"{HOST}:{context.platform.ports['redis']}"
    tool = find_tool("redis-cli", "redis-tools")
    done = subprocess.run(
        (tool, "--cluster", command, address, *options), capture_output=True, text=True, check=False
    )
    if done.returncode and "No rebalancing needed" not in done.stdout:
        raise RuntimeError(f"redis-cli --cluster {command}: {done.stdout[-500:]}")
