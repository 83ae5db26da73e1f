"""Appends delayed by a planned change of a partition's leader, compared with Kafka's defaults.

`python -m tests.bench.leader_moves [--moves 20]`: starts the cluster stack, appends 150 records a
second to its own topic through three logs (as many as replicas of case12), and moves the leadership
of one partition after the other to the next broker, as happens when a broker is back or about to
stop. The complete platform runs, as followers are late for the change only on a busy machine. Then
the same with Kafka's defaults for the waits of a follower (``replica.fetch.backoff.ms`` of 1,000,
``replica.fetch.wait.max.ms`` of 500). Exit status 1 if with our settings an append took longer than
the clients' 200 ms, or failed.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest

from serve_app.core.settings import Settings
from serve_app.stores.tag_log import TagLog
from setup.command_line import run_main
from setup.local.parts.kafka import KafkaBroker
from setup.local.platform import Platform
from setup.local.waiting import wait_for
from tests.results.recording import Recording
from tests.waiting import eventually

TOPIC: Final = "leader_moves"
PARTITIONS: Final = 3
COPIES: Final = 3
LATE_S: Final = 0.2
"""The contract's time-out of a tag."""
LOGS: Final = 3
RATE: Final = 150.0
RECORD: Final = b"x" * 300
WARM_UP_S: Final = 10.0
MOVE_S: Final = 15.0
"""The cluster stack's brokers look every second whether another one should lead."""
DEFAULTS: Final = "\nreplica.fetch.backoff.ms=1000\nreplica.fetch.wait.max.ms=500\n"


@dataclass
class Outcome:
    """Results of one run."""

    moves: int = 0
    stalled: int = 0
    """Moves that delayed an append beyond the time-out."""
    failed: int = 0
    seconds: list[tuple[float, float]] = field(default_factory=list)
    """Start and duration of each append."""

    @property
    def late(self) -> int:
        """Appends that took longer than a client waits."""
        return sum(took_s > LATE_S for _, took_s in self.seconds)

    @property
    def longest_ms(self) -> float:
        """Of all appends."""
        return max(took_s for _, took_s in self.seconds) * 1000

    def cells(self, name: str) -> tuple[str, ...]:
        """A row of the result's table."""
        late = f"{self.late} of {len(self.seconds):,}"
        return (name, str(self.moves), str(self.stalled), late, f"{self.longest_ms:,.0f}")

    def line(self, name: str) -> str:
        """For a person."""
        return (
            f"{name}: {self.moves} moves, {self.stalled} with a late append; of "
            f"{len(self.seconds):,} appends {self.late} late, {self.failed} failed; longest "
            f"{self.longest_ms:.0f} ms"
        )


class Load:
    """Appends at a steady rate, whatever the outcome of earlier ones."""

    def __init__(self, settings: Settings) -> None:
        self._logs = [TagLog(settings, TOPIC) for _ in range(LOGS)]
        self._appends: set[asyncio.Task[None]] = set()
        self.outcome = Outcome()

    async def run(self) -> None:
        """Run until cancelled, then wait for appends in flight."""
        for log in self._logs:
            log.start()
        for log in self._logs:
            await log.wait_ready()
        begin_s = time.monotonic()
        sent = 0
        try:
            while True:
                task = asyncio.create_task(self._append(self._logs[sent % LOGS]))
                self._appends.add(task)
                task.add_done_callback(self._appends.discard)
                sent += 1
                await asyncio.sleep(max(0.0, begin_s + sent / RATE - time.monotonic()))
        finally:
            await asyncio.gather(*self._appends)
            for log in self._logs:
                await log.stop()

    async def _append(self, log: TagLog) -> None:
        begin_s = time.monotonic()
        try:
            await log.append([RECORD])
        except Exception:
            self.outcome.failed += 1
        self.outcome.seconds.append((begin_s, time.monotonic() - begin_s))


async def create_topic(settings: Settings) -> None:
    """Create the topic, with the replication factor of the cluster's topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap.split(","))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, COPIES)])
    finally:
        await admin.close()


async def move(client: AIOKafkaClient, admin: AIOKafkaAdminClient, partition: int) -> None:
    """Prefer the next broker as the leader, and wait until it leads."""
    before = await describe(admin, partition)
    at = before["replicas"].index(before["leader"]) + 1
    wanted = before["replicas"][at:] + before["replicas"][:at]
    request = AlterPartitionReassignmentsRequest(
        10_000, [(TOPIC, [(partition, wanted, {})], {})], {}
    )
    answer = await client.send(client.get_random_node(), request)
    if answer.error_code:
        raise for_code(answer.error_code)(answer.error_message)

    async def moved() -> bool:
        return bool((await describe(admin, partition))["leader"] == wanted[0])

    await eventually(moved, timeout_s=MOVE_S)


async def describe(admin: AIOKafkaAdminClient, partition: int) -> dict[str, Any]:
    """Leader and replicas, from the brokers' metadata."""
    (topic,) = await admin.describe_topics([TOPIC])
    return next(one for one in topic["partitions"] if one["partition"] == partition)


async def measure(settings: Settings, moves: int) -> Outcome:
    """Make moves under load."""
    bootstrap = settings.kafka_bootstrap.split(",")
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    await admin.start()
    load = Load(settings)
    running = asyncio.create_task(load.run())
    try:
        await asyncio.sleep(WARM_UP_S)
        load.outcome = Outcome()
        for number in range(moves):
            late = load.outcome.late
            await move(client, admin, number % PARTITIONS)
            # A delayed append is late after the client's time-out; allow some more for its answer.
            await asyncio.sleep(2.0)
            load.outcome.moves += 1
            load.outcome.stalled += load.outcome.late > late
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await admin.close()
        await client.close()
    return load.outcome


def restart_with(platform: Platform, added: str) -> None:
    """Restart the brokers with additional settings."""
    brokers = [part for part in platform.parts if isinstance(part, KafkaBroker)]
    names = [broker.name for broker in brokers]
    platform.supervisor.stop_programs(names)
    for broker in brokers:
        for path, text in broker.files().items():
            path.write_text(text + added)
    platform.supervisor.start_programs(names)
    for broker in brokers:
        log = platform.folder.log(broker.name)
        wait_for(broker.name, broker.problem, timeout_s=120, log=log)


def main(
    moves: int = 20,
) -> int:
    """Print a line for each of the two; returns whether ours kept the time-out."""
    recording = Recording("leader-moves")
    # aiokafka warns of each "no longer the leader".
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        Platform(Path(folder) / "p", stack="cluster", free=True) as platform,
    ):
        platform.up()
        asyncio.run(create_topic(platform.settings()))
        ours = asyncio.run(measure(platform.settings(), moves))
        print(ours.line("ours"), flush=True)
        restart_with(platform, DEFAULTS)
        defaults = asyncio.run(measure(platform.settings(), moves))
        print(defaults.line("Kafka's defaults"), flush=True)
    recording.figure("late", ours.late, at_most=0)
    recording.figure("failed", ours.failed, at_most=0)
    recording.figure("longest_ms", round(ours.longest_ms, 1))
    recording.figure("late_with_defaults", defaults.late)
    recording.table(
        "settings",
        ("followers' waits", "moves", "with a late append", "late of appends", "longest, ms"),
        (ours.cells("ours"), defaults.cells("Kafka's defaults")),
    )
    kept = recording.finish(
        f"{ours.late} of {len(ours.seconds):,} appends late in {ours.moves} planned changes of a "
        "leader"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
