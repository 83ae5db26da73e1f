"""Finds the processes of a platform by their role."""

import asyncio
import json
import re
import signal
from contextlib import suppress
from typing import Final

import psutil
import redis
from aiokafka.admin import AIOKafkaAdminClient

from serve_app.core.names import USER_TAGS_TOPIC
from setup.local.leftovers import marked_processes
from setup.local.platform import Platform
from setup.local.ports import HOST

CASE12: Final = "ServeReplica:case12"
CONTROLLER: Final = "ServeController"
ACTORS: Final = (
    "ServeReplica:case3:case3-0",
    "ServeReplica:case3:case3-1",
    "ServeReplica:case3:case3-2",
)


class NotFoundError(Exception):
    """No such process runs."""


class Targets:
    """Processes of a running platform, looked up at each call."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def everything(self) -> list[psutil.Process]:
        """All processes of the platform, including its supervisor."""
        return marked_processes(self._platform.folder.root)

    def titled(self, title: str) -> list[psutil.Process]:
        """Ray actors whose process title holds ``title``; NotFoundError if there is none."""
        found = [process for process in self.everything() if title in _command(process)]
        if not found:
            raise NotFoundError(f"no process {title}")
        return found

    def haproxy(self) -> list[psutil.Process]:
        """Serve's HAProxy, not the one in front of the database."""
        processes = marked_processes(self._platform.folder.root, self._platform.ray.name)
        found = [process for process in processes if _name(process) == "haproxy"]
        if not found:
            raise NotFoundError("no HAProxy")
        return found

    def part(self, name: str) -> psutil.Process:
        """The server that supervisord runs under this name."""
        state = self._platform.supervisor.states().get(name)
        if state is None or not state.pid:
            raise NotFoundError(f"{name} does not run")
        return psutil.Process(state.pid)

    def names(self, kind: str) -> list[str]:
        """Names of the parts of a kind, such as ``redis-1`` for ``redis``."""
        return [
            part.name
            for part in self._platform.parts
            if re.fullmatch(rf"{re.escape(kind)}-\d+", part.name)
        ]

    def redis_client(self, name: str) -> redis.Redis:
        """A client of a Redis node, to be closed."""
        number = int(name.removeprefix("redis-"))
        port = self._platform.ports["redis"] + number - 1
        return redis.Redis(host=HOST, port=port, socket_timeout=2)

    def redis_masters(self) -> list[str]:
        """Names of the current Redis masters."""
        masters = []
        for name in self.names("redis"):
            with self.redis_client(name) as client:
                try:
                    role = client.execute_command("ROLE")
                except redis.RedisError:
                    continue
            if role[0] == b"master":
                masters.append(name)
        if not masters:
            raise NotFoundError("no Redis master answers")
        return masters

    def redis_replicas(self, master: str) -> list[str]:
        """Names of the current replicas of this master."""
        with self.redis_client(master) as client:
            _, _, followers = client.execute_command("ROLE")
        first = self._platform.ports["redis"]
        return [f"redis-{int(port) - first + 1}" for _, port, _ in followers]

    def redis_shards(self) -> list[tuple[str, list[str]]]:
        """(master, its replicas) of each shard; NotFoundError while a replica is not in sync."""
        shards = [(master, self.redis_replicas(master)) for master in self.redis_masters()]
        wanted = self._platform.stack.redis_replicas_per_master
        if any(len(replicas) < wanted for _, replicas in shards):
            raise NotFoundError("a Redis replica is not in sync with its master")
        return shards

    def kafka_leader(self, partition: int) -> str:
        """Name of the broker that leads this partition of the topic of tags."""
        return f"kafka-{asyncio.run(self._leader(partition))}"

    async def _leader(self, partition: int) -> int:
        client = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await client.start()
        try:
            (topic,) = await client.describe_topics([USER_TAGS_TOPIC])
            leaders = {one["partition"]: one["leader"] for one in topic["partitions"]}
        finally:
            await client.close()
        if leaders.get(partition, -1) < 0:
            raise NotFoundError(f"partition {partition} has no leader")
        return int(leaders[partition])

    def kafka_controller(self) -> str:
        """Name of the server that leads the quorum of controllers.

        Read from the quorum state files (KIP-595, "Quorum State"). Kafka's own tool starts a JVM,
        which takes 2 to 3 s on a busy machine and delays requests before anything is killed.
        """
        states = []
        for name in self.names("kafka"):
            file = self._platform.folder.data(name) / "__cluster_metadata-0" / "quorum-state"
            with suppress(FileNotFoundError):
                states.append(json.loads(file.read_text()))
        _, leader = max(
            ((state["leaderEpoch"], state["leaderId"]) for state in states), default=(0, -1)
        )
        if leader < 0:
            raise NotFoundError("the controllers have no leader")
        return f"kafka-{leader}"

    @property
    def _bootstrap(self) -> str:
        return self._platform.environment()["TAGS_KAFKA_BOOTSTRAP"]


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process; one that is gone is no error."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
