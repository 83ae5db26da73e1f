"""What is done to Redis: copies that are old, shards that are gone, slots that move."""

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
from tests.faults.injections import Heal, freeze, keep_down, nothing
from tests.faults.scene import Scene
from tests.faults.targets import NotFoundError

_FIND_S: Final = 20.0
_BEHIND_S: Final = 14.0
"""Longer than the promise of 10 s, so that a copy that lacks it all lacks what is promised."""
_MOVED_SLOTS: Final = 1_000


def kill_all_redis(scene: Scene) -> Heal:
    """``kill -9`` of every Redis node at once, each back as soon as its supervisor sees it."""
    for name in scene.targets.names("redis"):
        scene.targets.part(name).kill()
    return nothing


def keep_shard_down(scene: Scene) -> Heal:
    """``kill -9`` of a master and of its replicas, which stay down until healed."""
    return keep_down(scene, _shard(scene))


def empty_shard(scene: Scene) -> Heal:
    """``kill -9`` of a master and of its replicas; they come back without any data."""
    names = _shard(scene)
    start = keep_down(scene, names)

    def heal() -> None:
        for name in names:
            _empty(scene.platform.folder.data(name))
        start()

    return heal


def promote_old_replica(scene: Scene) -> Heal:
    """A replica away; then its master is killed, and the replica comes back and is promoted."""
    master, (replica, *_) = _shard_with_replica(scene)
    start_replica = keep_down(scene, [replica])

    def heal() -> None:
        start_master = keep_down(scene, [master])
        start_replica()
        try:
            _wait_for_master(scene, replica)
        finally:
            start_master()

    return heal


def break_link_then_freeze_master(scene: Scene) -> Heal:
    """A replica whose link is broken (``masterauth`` wrong) for 14 s; then its master hangs."""
    master, (replica, *_) = _shard_with_replica(scene)
    with scene.targets.redis_client(replica) as client:
        client.config_set("masterauth", "wrong")
    with scene.targets.redis_client(master) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(_BEHIND_S)
    thaw = freeze(scene, master)

    def heal() -> None:
        thaw()
        with scene.targets.redis_client(replica) as client:
            client.config_set("masterauth", "")

    return heal


def split_master_off(scene: Scene) -> Heal:
    """A master that its clients still reach, and no other node of the cluster; then it returns."""
    targets, platform = scene.targets, scene.platform
    master, replicas = _shard_with_replica(scene)
    nodes = targets.names("redis")
    bus_ports = {platform.ports["redis_bus"] + index for index in range(len(nodes))}
    number = nodes.index(master)
    own_bus = platform.ports["redis_bus"] + number
    cut: list[socket.socket] = []
    ends = {own_bus}
    """Ports of the master's ends of the links between the nodes."""
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
            # Also whoever wants to connect: the master would by and by.
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


def move_slots(scene: Scene) -> Heal:
    """``redis-cli --cluster reshard`` of a thousand slots under load, and back by ``rebalance``."""
    source, target = scene.random.sample(scene.targets.redis_masters(), 2)
    ids = []
    for name in (source, target):
        with scene.targets.redis_client(name) as client:
            ids.append(client.cluster("MYID").decode())
    moved = ("--cluster-from", ids[0], "--cluster-to", ids[1])
    count = ("--cluster-slots", str(_MOVED_SLOTS), "--cluster-yes")
    _redis_cli(scene, "reshard", *moved, *count)
    return lambda: _redis_cli(scene, "rebalance", "--cluster-threshold", "1")


def _shard(scene: Scene) -> list[str]:
    master = scene.random.choice(scene.targets.redis_masters())
    return [master, *scene.targets.redis_replicas(master)]


def _shard_with_replica(scene: Scene) -> tuple[str, list[str]]:
    deadline = time.monotonic() + _FIND_S
    while True:
        with suppress(NotFoundError, redis.RedisError):
            return scene.random.choice(scene.targets.redis_shards())
        if time.monotonic() > deadline:
            raise NotFoundError("no Redis shard with its replicas in step")
        time.sleep(0.2)


def _connections(pid: int) -> Iterator[tuple[socket.socket, int, int]]:
    """(handle, own port, the other end's port or 0) of a process's TCP sockets."""
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
    """Remove what a node stores, but for its place in the cluster."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "nodes.conf":
            entry.unlink()


def _wait_for_master(scene: Scene, name: str) -> None:
    deadline = time.monotonic() + _FIND_S
    while time.monotonic() < deadline:
        with suppress(NotFoundError):
            if name in scene.targets.redis_masters():
                return
        time.sleep(0.2)
    raise NotFoundError(f"{name} was not promoted")


def _redis_cli(scene: Scene, command: str, *options: str) -> None:
    """``redis-cli --cluster``; it may find that there is nothing to do."""
    address = f"{HOST}:{scene.platform.ports['redis']}"
    tool = find_tool("redis-cli", "redis-tools")
    done = subprocess.run(
        (tool, "--cluster", command, address, *options), capture_output=True, text=True, check=False
    )
    if done.returncode and "No rebalancing needed" not in done.stdout:
        raise RuntimeError(f"redis-cli --cluster {command}: {done.stdout[-500:]}")
