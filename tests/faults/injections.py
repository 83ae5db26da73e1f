"""Injections: each harms the platform, and returns a function that heals it."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psutil

from tests.faults.cut_process import CutProcess
from tests.faults.fault_context import FaultContext
from tests.faults.targets import ACTORS, CASE12, CONTROLLER, NotFoundError, send

Heal = Callable[[], None]
Injection = Callable[[FaultContext], Heal]

_FIND_S: Final = 20.0
_FILL: Final = "fills-the-disk"


def nothing() -> None:
    """Does nothing: the platform heals by itself."""


def no_fault(context: FaultContext) -> Heal:
    """No fault: the load alone, as a baseline."""
    return nothing


# --- Ray ------------------------------------------------------------------------------------------


def kill_replica(context: FaultContext) -> Heal:
    """``kill -9`` of one of case12's replicas."""
    context.random.choice(context.targets.titled(CASE12)).kill()
    return nothing


def kill_controller(context: FaultContext) -> Heal:
    """``kill -9`` of Serve's controller."""
    context.targets.titled(CONTROLLER)[0].kill()
    return nothing


def kill_haproxy(context: FaultContext) -> Heal:
    """``kill -9`` of Serve's HAProxy."""
    for process in context.targets.haproxy():
        process.kill()
    return nothing


def kill_actor(context: FaultContext) -> Heal:
    """``kill -9`` of a random partition actor."""
    deadline = time.monotonic() + _FIND_S
    while True:
        # The one killed last may not be back yet.
        with suppress(NotFoundError):
            context.targets.titled(context.random.choice(ACTORS))[0].kill()
            return nothing
        if time.monotonic() > deadline:
            raise NotFoundError("no actor came back")
        time.sleep(0.1)


def freeze_actors(context: FaultContext) -> Heal:
    """SIGSTOP of every partition actor; Serve may replace them."""
    processes = [process for title in ACTORS for process in context.targets.titled(title)]
    for process in processes:
        send(process, signal.SIGSTOP)

    def heal() -> None:
        for process in processes:
            send(process, signal.SIGCONT)

    return heal


def cut_replica_off(context: FaultContext, store: str) -> Heal:
    """Cut one of case12's replicas off from a store; the others reach it."""
    first, servers = context.platform.ports[store], context.targets.names(store)
    ports = range(first, first + len(servers))
    replica = context.random.choice(context.targets.titled(CASE12))
    return CutProcess(replica.pid, ports).mend


def cut_replica_off_kafka(context: FaultContext) -> Heal:
    """Cut one of case12's replicas off from Kafka."""
    return cut_replica_off(context, "kafka")


def cut_replica_off_redis(context: FaultContext) -> Heal:
    """Cut one of case12's replicas off from Redis."""
    return cut_replica_off(context, "redis")


# --- stores ---------------------------------------------------------------------------------------


def kill(context: FaultContext, name: str) -> Heal:
    """``kill -9`` of a server; its supervisor starts it again at once."""
    context.targets.part(name).kill()
    return nothing


def keep_down(context: FaultContext, names: Sequence[str]) -> Heal:
    """``kill -9`` of servers that stay down until healed."""
    processes = [context.targets.part(name) for name in names]
    # SIGSTOP first, so that the supervisor's SIGTERM has no effect before SIGKILL.
    for process in processes:
        send(process, signal.SIGSTOP)
    supervisor = context.platform.supervisor
    supervisor.stop_programs(names, timeout_s=0)
    for process in processes:
        send(process, signal.SIGKILL)
    return lambda: supervisor.start_programs(names)


def freeze(context: FaultContext, name: str) -> Heal:
    """SIGSTOP; healed by SIGCONT."""
    process = context.targets.part(name)
    send(process, signal.SIGSTOP)
    return lambda: send(process, signal.SIGCONT)


def kill_redis_master(context: FaultContext) -> Heal:
    """``kill -9`` of a master, back at once."""
    return kill(context, context.random.choice(context.targets.redis_masters()))


def keep_redis_master_down(context: FaultContext) -> Heal:
    """``kill -9`` of a master that stays down until its replica is promoted."""
    return keep_down(context, [context.random.choice(context.targets.redis_masters())])


def freeze_redis_master(context: FaultContext) -> Heal:
    """SIGSTOP of a master."""
    return freeze(context, context.random.choice(context.targets.redis_masters()))


def kill_kafka_leader(context: FaultContext) -> Heal:
    """``kill -9`` of the broker that leads a partition."""
    return kill(context, context.targets.kafka_leader(context.random.randrange(3)))


def kill_kafka_controller(context: FaultContext) -> Heal:
    """``kill -9`` of the server that leads the controllers."""
    return kill(context, context.targets.kafka_controller())


def freeze_kafka(context: FaultContext) -> Heal:
    """SIGSTOP of the broker that leads a partition."""
    return freeze(context, context.targets.kafka_leader(context.random.randrange(3)))


def freeze_redis_and_kafka(context: FaultContext, first: str) -> Heal:
    """SIGSTOP of a Redis master and of a Kafka leader; ``first`` resumes 5 s sooner."""
    stores = {"redis": freeze_redis_master, "kafka": freeze_kafka}
    heals = {name: inject(context) for name, inject in stores.items()}

    def heal() -> None:
        heals.pop(first)()
        time.sleep(5)
        for thaw in heals.values():
            thaw()

    return heal


def freeze_both_redis_first(context: FaultContext) -> Heal:
    """SIGSTOP of a Redis master and of a Kafka leader; Redis resumes 5 s before Kafka."""
    return freeze_redis_and_kafka(context, "redis")


def freeze_both_kafka_first(context: FaultContext) -> Heal:
    """SIGSTOP of a Redis master and of a Kafka leader; Kafka resumes 5 s before Redis."""
    return freeze_redis_and_kafka(context, "kafka")


def keep_kafka_down(context: FaultContext) -> Heal:
    """SIGSTOP of two of three brokers, or of the only one: no write is possible."""
    names = context.targets.names("kafka")
    return keep_down(context, context.random.sample(names, max(1, len(names) - 1)))


def kill_mariadb(context: FaultContext) -> Heal:
    """``kill -9`` of one node."""
    return kill(context, context.random.choice(context.targets.names("mariadb")))


def kill_mariadb_address(context: FaultContext) -> Heal:
    """``kill -9`` of the HAProxy that leads to one of the nodes."""
    return kill(context, "mariadb-address")


def keep_mariadb_down(context: FaultContext) -> Heal:
    """``kill -9`` of every node at once, none back until healed."""
    return keep_down(context, context.targets.names("mariadb"))


def cut_mariadb_off(context: FaultContext) -> Heal:
    """Cut the network to MariaDB; connections stay open."""
    assert context.cut_off is not None
    context.cut_off.cut()
    return context.cut_off.mend


def fill_disk(context: FaultContext, kind: str) -> Heal:
    """Fill the file system of a store's first node."""
    folder = context.small_disks[f"{kind}-1"]
    file = folder / _FILL
    block = b"\0" * 65536
    with file.open("wb", buffering=0) as full, suppress(OSError):
        while True:
            # The store's own writes use up what is left after the last short block.
            block = block[: full.write(block)] or block
    return lambda: file.unlink(missing_ok=True)


def fill_kafka_disk(context: FaultContext) -> Heal:
    """Fill the disk of Kafka."""
    return fill_disk(context, "kafka")


def fill_mariadb_disk(context: FaultContext) -> Heal:
    """Fill the disk of MariaDB."""
    return fill_disk(context, "mariadb")


# --- all of it ------------------------------------------------------------------------------------


def kill_everything(context: FaultContext) -> Heal:
    """``kill -9`` of every process, the supervisor too; healing is `make up`."""
    # The supervisor first: it must not restart the others.
    processes = context.targets.everything()
    processes.sort(key=lambda process: process.create_time())
    for process in processes:
        send(process, signal.SIGKILL)
    # A busy machine takes a while to reap all of them.
    psutil.wait_procs(processes, timeout=_FIND_S)
    return context.platform.up
