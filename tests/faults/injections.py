"""What is done to the platform: each injection returns how it is undone."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psutil

from tests.faults.cut_process import CutProcess
from tests.faults.scene import Scene
from tests.faults.targets import ACTORS, CASE12, CONTROLLER, NotFoundError, send

Heal = Callable[[], None]
Injection = Callable[[Scene], Heal]

_FIND_S: Final = 20.0
_FILL: Final = "fills-the-disk"


def nothing() -> None:
    """For faults that the platform itself has to undo."""


def no_fault(scene: Scene) -> Heal:
    """The load alone: what a busy machine costs."""
    return nothing


# --- Ray ------------------------------------------------------------------------------------------


def kill_replica(scene: Scene) -> Heal:
    """``kill -9`` of one of case12's replicas."""
    scene.random.choice(scene.targets.titled(CASE12)).kill()
    return nothing


def kill_controller(scene: Scene) -> Heal:
    """``kill -9`` of Serve's controller."""
    scene.targets.titled(CONTROLLER)[0].kill()
    return nothing


def kill_haproxy(scene: Scene) -> Heal:
    """``kill -9`` of Serve's HAProxy."""
    for process in scene.targets.haproxy():
        process.kill()
    return nothing


def kill_actor(scene: Scene) -> Heal:
    """``kill -9`` of a partition actor, by chance."""
    deadline = time.monotonic() + _FIND_S
    while True:
        # One that was just killed may not be back yet.
        with suppress(NotFoundError):
            scene.targets.titled(scene.random.choice(ACTORS))[0].kill()
            return nothing
        if time.monotonic() > deadline:
            raise NotFoundError("no actor came back")
        time.sleep(0.1)


def freeze_actors(scene: Scene) -> Heal:
    """SIGSTOP of every partition actor; Serve may replace them meanwhile."""
    processes = [process for title in ACTORS for process in scene.targets.titled(title)]
    for process in processes:
        send(process, signal.SIGSTOP)

    def heal() -> None:
        for process in processes:
            send(process, signal.SIGCONT)

    return heal


def cut_replica_off(scene: Scene, store: str) -> Heal:
    """Nothing from a store comes in at one of case12's replicas; the others reach it."""
    first, servers = scene.platform.ports[store], scene.targets.names(store)
    ports = range(first, first + len(servers))
    replica = scene.random.choice(scene.targets.titled(CASE12))
    return CutProcess(replica.pid, ports).mend


def cut_replica_off_kafka(scene: Scene) -> Heal:
    """One of case12's replicas without Kafka, while the others take tags."""
    return cut_replica_off(scene, "kafka")


def cut_replica_off_redis(scene: Scene) -> Heal:
    """One of case12's replicas without Redis."""
    return cut_replica_off(scene, "redis")


# --- stores ---------------------------------------------------------------------------------------


def kill(scene: Scene, name: str) -> Heal:
    """``kill -9`` of a server; its supervisor starts it again at once."""
    scene.targets.part(name).kill()
    return nothing


def keep_down(scene: Scene, names: Sequence[str]) -> Heal:
    """``kill -9`` of servers that stay down until healed."""
    processes = [scene.targets.part(name) for name in names]
    # Stopped first, so that the supervisor's own SIGTERM stays unheard: this is a kill.
    for process in processes:
        send(process, signal.SIGSTOP)
    supervisor = scene.platform.supervisor
    supervisor.stop_programs(names, timeout_s=0)
    for process in processes:
        send(process, signal.SIGKILL)
    return lambda: supervisor.start_programs(names)


def freeze(scene: Scene, name: str) -> Heal:
    """SIGSTOP; healing is SIGCONT."""
    process = scene.targets.part(name)
    send(process, signal.SIGSTOP)
    return lambda: send(process, signal.SIGCONT)


def kill_redis_master(scene: Scene) -> Heal:
    """``kill -9`` of a master, back at once."""
    return kill(scene, scene.random.choice(scene.targets.redis_masters()))


def keep_redis_master_down(scene: Scene) -> Heal:
    """``kill -9`` of a master that stays down until its replica leads; then it returns."""
    return keep_down(scene, [scene.random.choice(scene.targets.redis_masters())])


def freeze_redis_master(scene: Scene) -> Heal:
    """SIGSTOP of a master."""
    return freeze(scene, scene.random.choice(scene.targets.redis_masters()))


def kill_kafka_leader(scene: Scene) -> Heal:
    """``kill -9`` of the broker that leads a partition."""
    return kill(scene, scene.targets.kafka_leader(scene.random.randrange(3)))


def kill_kafka_controller(scene: Scene) -> Heal:
    """``kill -9`` of the server that leads the controllers."""
    return kill(scene, scene.targets.kafka_controller())


def freeze_kafka(scene: Scene) -> Heal:
    """SIGSTOP of the broker that leads a partition."""
    return freeze(scene, scene.targets.kafka_leader(scene.random.randrange(3)))


def freeze_redis_and_kafka(scene: Scene, first: str) -> Heal:
    """A Redis master and the leader of a partition hang together; ``first`` is back 5 s sooner."""
    stores = {"redis": freeze_redis_master, "kafka": freeze_kafka}
    heals = {name: inject(scene) for name, inject in stores.items()}

    def heal() -> None:
        heals.pop(first)()
        time.sleep(5)
        for thaw in heals.values():
            thaw()

    return heal


def freeze_both_redis_first(scene: Scene) -> Heal:
    """SIGSTOP of a Redis master and of a Kafka leader; Redis goes on 5 s before Kafka."""
    return freeze_redis_and_kafka(scene, "redis")


def freeze_both_kafka_first(scene: Scene) -> Heal:
    """SIGSTOP of a Redis master and of a Kafka leader; Kafka goes on 5 s before Redis."""
    return freeze_redis_and_kafka(scene, "kafka")


def keep_kafka_down(scene: Scene) -> Heal:
    """Too few brokers for any write: two of three, or the only one."""
    names = scene.targets.names("kafka")
    return keep_down(scene, scene.random.sample(names, max(1, len(names) - 1)))


def kill_mariadb(scene: Scene) -> Heal:
    """``kill -9`` of one node."""
    return kill(scene, scene.random.choice(scene.targets.names("mariadb")))


def kill_mariadb_address(scene: Scene) -> Heal:
    """``kill -9`` of the HAProxy that leads to one of the nodes."""
    return kill(scene, "mariadb-address")


def keep_mariadb_down(scene: Scene) -> Heal:
    """``kill -9`` of every node at once, none back until healed."""
    return keep_down(scene, scene.targets.names("mariadb"))


def cut_mariadb_off(scene: Scene) -> Heal:
    """Nothing gets through to MariaDB or back, and no connection breaks."""
    assert scene.cut_off is not None
    scene.cut_off.cut()
    return scene.cut_off.mend


def fill_disk(scene: Scene, kind: str) -> Heal:
    """Leave no byte on the file system of a store's first node."""
    folder = scene.small_disks[f"{kind}-1"]
    file = folder / _FILL
    block = b"\0" * 65536
    with file.open("wb", buffering=0) as full, suppress(OSError):
        while True:
            # A store's own writes take what is left after a short last block.
            block = block[: full.write(block)] or block
    return lambda: file.unlink(missing_ok=True)


def fill_kafka_disk(scene: Scene) -> Heal:
    """Disk full under Kafka."""
    return fill_disk(scene, "kafka")


def fill_mariadb_disk(scene: Scene) -> Heal:
    """Disk full under MariaDB."""
    return fill_disk(scene, "mariadb")


# --- all of it ------------------------------------------------------------------------------------


def kill_everything(scene: Scene) -> Heal:
    """``kill -9`` of every process, the supervisor too; healing is `make up`."""
    # The supervisor first: it must not see the others die.
    processes = scene.targets.everything()
    processes.sort(key=lambda process: process.create_time())
    for process in processes:
        send(process, signal.SIGKILL)
    # A busy machine takes its time to bury so many.
    psutil.wait_procs(processes, timeout=_FIND_S)
    return scene.platform.up
