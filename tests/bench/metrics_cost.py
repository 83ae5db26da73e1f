"""Cost of metrics and request ids per tag: ``python -m tests.bench.metrics_cost``.

Runs the path of a tag (`Ingest`) with stores that answer at once, in a Ray actor, with batches of
3.3 tags as in three replicas at 1,000 tags/s: without a recorder, with ours, and with a call of
``ray.util.metrics`` per tag for comparison. Then writes and reads a record in a Kafka batch,
without and with a request id. Figures are microseconds of processor time per tag; for a complete
replica see docs/performance.md.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import ray
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from ray.util import metrics as ray_metrics

from serve_app.core.metrics import Recorder
from serve_app.core.names import FORMAT_HEADER, FORMAT_JSON_V1, REQUEST_ID_HEADER
from serve_app.http.request_id import HEADER, request_id
from serve_app.ingest import Ingest, IngestLimits
from serve_app.ray_metrics import RayRecorder
from serve_app.stores.tag_log import Stored
from tests.results.recording import Recording
from tests.tags import decode_tag, new_tag

BODY: Final = json.dumps(new_tag("9WkYGxkiXBfpMIjBGURC", "2022-03-01T00:00:00.649Z")).encode()
TAG: Final = decode_tag(BODY)
BATCHES: Final = 6_000
ROUNDS: Final = 5


class Log:
    """A store that answers at once."""

    ready = True

    async def append(self, values: Sequence[bytes], *given: object) -> list[tuple[int, Stored]]:
        """All in one batch."""
        return [(len(values), Stored(0, 0, 0))]


class Profiles:
    """A store that answers at once."""

    async def write(self, *given: object) -> None:
        """Does nothing."""


async def ingest_us(recorder: Recorder | None, each_tag: Callable[[], None] | None = None) -> float:
    """Microseconds a tag."""
    ingest = Ingest(Log(), Profiles(), IngestLimits(linger_ms=0), recorder)  # type: ignore[arg-type]
    tags = 0
    started_s = time.process_time()
    for number in range(BATCHES):
        size = 3 + (number % 3 == 0)
        await asyncio.gather(*(ingest.accept(TAG, TAG.time_ms, BODY) for _ in range(size)))
        if each_tag is not None:
            for _ in range(size):
                each_tag()
        tags += size
        if isinstance(recorder, RayRecorder) and number % 100 == 0:
            # As once a second.
            recorder.publish()
    return (time.process_time() - started_s) / tags * 1e6


@ray.remote(num_cpus=0)
class Actor:
    """Where metrics of Ray can be recorded."""

    async def measure(self) -> dict[str, float]:
        """The best of several alternating rounds."""
        recorder = RayRecorder()
        counter = ray_metrics.Counter("bench_total", "", ("a",))
        histogram = ray_metrics.Histogram("bench_seconds", "", [0.01, 0.1, 1], ("a",))

        def naive() -> None:
            counter.inc(1, {"a": "b"})
            histogram.observe(0.01, {"a": "kafka"})
            histogram.observe(0.01, {"a": "redis"})

        best: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, run in {
                "ingest, no metrics": ingest_us(None),
                "ingest, our recorder": ingest_us(recorder),
                "ingest, ray.util.metrics a tag": ingest_us(None, naive),
            }.items():
                best[name] = min(best.get(name, 1e9), await run)
        return best


def record_us(with_id: bool) -> tuple[float, float]:
    """Microseconds to find the id, write the record and read it; bytes per record."""
    ids = [str(uuid.uuid4()).encode() for _ in range(1_000)]
    scopes: list[dict[str, Any]] = [
        {"headers": [(b"host", b"x"), (b"content-length", b"9"), (HEADER, one)]} for one in ids
    ]
    best_s, size = 1e9, 0
    for _ in range(30):
        started_s = time.process_time()
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            batch_size=1 << 20,
        )
        for at, scope in enumerate(scopes):
            headers = [(FORMAT_HEADER, FORMAT_JSON_V1)]
            if with_id:
                headers.append((REQUEST_ID_HEADER, request_id(scope)))
            builder.append(at, timestamp=1, key=None, value=BODY, headers=headers)
        data = bytes(builder.build())
        for record in MemoryRecords(data).next_batch():
            assert record.headers
        best_s, size = min(best_s, time.process_time() - started_s), len(data)
    return best_s * 1e6 / len(ids), size / len(ids)


def main() -> None:
    """Measure and print."""
    recording = Recording("metrics-cost")
    rows = []
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    actor = Actor.remote()  # type: ignore[attr-defined]
    results: dict[str, float] = ray.get(actor.measure.remote())
    base = results["ingest, no metrics"]
    for name, us in results.items():
        print(f"{name:>32} {us:6.2f} µs a tag, {us - base:+6.2f}")
        rows.append((name, f"{us:.2f}", f"{us - base:+.2f}"))
    ray.shutdown()
    for name, with_id in (("record", False), ("record with request id", True)):
        us, size = record_us(with_id)
        print(f"{name:>32} {us:6.2f} µs a tag, {size:.0f} bytes")
        rows.append((name, f"{us:.2f}", f"{size:.0f} bytes"))
    ours = results["ingest, our recorder"] - base
    recording.figure("our_recorder_us_a_tag", round(ours, 2))
    recording.table("costs", ("what", "µs per tag", "more"), rows)
    recording.finish(f"metrics take {ours:.2f} µs of processor time per tag")


if __name__ == "__main__":
    main()
