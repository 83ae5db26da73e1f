"""``python -m tests.bulk.actor PARTITION END``: a partition actor in its own process.

Works until ``END`` is the stored offset, then prints an `ActorRun` as JSON.
"""

import asyncio
import sys
import time
from pathlib import Path

import msgspec

from actors.aggregates.batch import Batch
from actors.aggregates.counting import PartitionActor
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.log.dead_letters import KafkaDeadLetters
from actors.log.kafka_log import KafkaLog
from actors.serve.gc_tuning import collect_seldom
from actors.settings import ActorSettings
from serve_app.core.clock import SystemClock
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import Settings


class ActorRun(msgspec.Struct):
    """Figures of an actor up to its last flush but one: the last one waited for its interval."""

    tags: int
    rows: int
    seconds: float
    processor_s: float
    flush_ms: list[float]
    rss_bytes: int
    """Before the first tag."""
    peak_rss_bytes: int


async def work(partition: int, end: int) -> ActorRun:
    """Count ``partition`` up to ``end``."""
    collect_seldom()
    stores, own = Settings(), ActorSettings()
    log = KafkaLog(USER_TAGS_TOPIC, partition, stores=stores, settings=own)
    sink = MySQLSink(partition, database=Database(stores, own), settings=own)
    letters = KafkaDeadLetters(partition, stores=stores, timeout_s=5)
    marks: list[ActorRun] = []

    def note(batch: Batch) -> None:
        status = actor.status
        flush_ms.append(status.last_flush_ms)
        seconds, used_s = time.perf_counter() - started_s, time.process_time() - before_s
        run = ActorRun(
            status.tags, status.rows, seconds, used_s, flush_ms, rss_bytes, peak_rss_bytes()
        )
        marks.append(run)

    flush_ms: list[float] = []
    actor = PartitionActor(
        partition,
        log=log,
        sink=sink,
        dead_letters=letters,
        clock=SystemClock(),
        settings=own,
        on_flushed=note,
    )
    rss_bytes = peak_rss_bytes()
    started_s, before_s = time.perf_counter(), time.process_time()
    task = asyncio.create_task(actor.run())
    while (actor.status.offset or 0) < end:
        if task.done():
            task.result()
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for part in (log, letters, sink):
        await part.close()
    return marks[-2 if len(marks) > 1 else -1]


def peak_rss_bytes() -> int:
    """Peak memory of this process; `getrusage` would include that before the exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")


if __name__ == "__main__":
    run = asyncio.run(work(int(sys.argv[1]), int(sys.argv[2])))
    print(msgspec.json.encode(run).decode())
