"""The log of accepted tags: an idempotent Kafka producer that is replaced when it fails.

Kafka is the record of what was accepted. ``append`` returns once every record is on all in-sync
replicas, or raises: nothing was sent (`Unavailable`), or the outcome is unknown (`OutcomeUnknown`).

aiokafka's idempotent producer numbers a batch when it takes it from its queue. If that batch then
fails, the number is used up and the broker refuses every later batch of the partition
(aio-libs/aiokafka#1017). So a producer with one failed batch is never used again.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from serve_app.core.clock import Clock, SystemClock
from serve_app.core.errors import OutcomeUnknown, Problem, Unavailable
from serve_app.core.names import FORMAT_HEADER, FORMAT_JSON_V1, REQUEST_ID_HEADER
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_clients, connection_options, is_being_cancelled

logger = logging.getLogger(__name__)

_HEADERS: Final = [(FORMAT_HEADER, FORMAT_JSON_V1)]
_RECORD_BYTES: Final = 64
"""More than a record takes beside its value."""
_BATCH_BYTES: Final = 512 * 1024
"""Of one batch; Kafka's own bound is 1 MiB."""
_START_S: Final = 30.0
_ANSWER_TIMEOUTS: Final = 10
"""In request time-outs. A producer gives up a batch some time after its request time-out, later if
there is no leader. One that has done neither after this many of them is broken, and would block its
partition for ever."""
_RESTART_S: Final = 0.5
_STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Stored:
    """Where some consecutive records stand in the log."""

    partition: int
    first_offset: int
    arrived_ms: int
    """Kafka's own time of arrival, epoch ms."""


@dataclass(slots=True, eq=False)
class _PendingBatch:
    values: Sequence[bytes]
    request_ids: Sequence[bytes]
    size: int
    done: "asyncio.Future[Stored]"

    def refuse(self, problem: Problem) -> None:
        if not self.done.done():
            self.done.set_exception(problem)


@dataclass(slots=True, eq=False)
class _Queue:
    """The queue in front of the topic, shared by its partitions.

    Each partition has at most one batch in flight. While all have one, values wait, and go out
    together on the first partition that is free. Nothing waits for a particular partition: one
    whose leader is down or changing holds up only the batch that it has.

    aiokafka has a queue per partition, too, but counts a batch's waiting time in it several times
    over, and so gives up far too soon after a pause of the broker.
    """

    waiting: deque[_PendingBatch] = field(default_factory=deque)
    sending_since_s: dict[int, float] = field(default_factory=dict)
    """Of each partition with a batch in flight."""
    turn: int = -1
    """The partition that a batch was last given to, out of several."""

    def idle(self, partitions: Sequence[int]) -> int | None:
        """The next one, round robin, of those with no batch in flight."""
        idle = [partition for partition in partitions if partition not in self.sending_since_s]
        if not idle:
            return None
        self.turn = next((partition for partition in idle if partition > self.turn), idle[0])
        return self.turn

    def silent_s(self, partitions: Sequence[int], now_s: float) -> float:
        """How long none of ``partitions`` has answered; 0 if one has nothing to answer."""
        return min(now_s - self.sending_since_s.get(partition, now_s) for partition in partitions)

    def take(self, partition: int, now_s: float) -> list[_PendingBatch]:
        """The next batch of ``partition``, oldest first; empty if nothing waits."""
        self.sending_since_s[partition] = now_s
        entries: list[_PendingBatch] = []
        size = 0
        while self.waiting and (not entries or size + self.waiting[0].size <= _BATCH_BYTES):
            entries.append(self.waiting.popleft())
            size += entries[-1].size
        return entries


class TagLog:
    """Appends to one topic; one per process."""

    REFUSE_S = 1.0
    """While all partitions have left a batch unanswered for longer than this, more is refused at
    once: its client would be gone by then, and a tag that was refused can safely be sent again."""

    def __init__(self, settings: Settings, topic: str, clock: Clock | None = None) -> None:
        """``topic`` must exist before the log is ready; connects when `start` is called."""
        self._settings = settings
        self._answer_s = _ANSWER_TIMEOUTS * settings.kafka_request_timeout_ms / 1000
        self._topic = topic
        self._clock = clock or SystemClock()
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._queue = _Queue()
        self._sending: set[asyncio.Task[None]] = set()
        self.replaced = 0
        """Producers replaced so far."""
        self.last_error = ""
        """Why there is no producer, or why the last one failed; empty if none ever did."""

    @property
    def ready(self) -> bool:
        """Whether a producer is connected."""
        return self._producer is not None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The background work, which does not end before a producer is connected; then None."""
        return None if self.ready else self._starting

    def unreachable(self) -> Unavailable:
        """The refusal while there is no producer."""
        return Unavailable(f"the log cannot be reached: {self.last_error or 'connecting'}")

    def start(self) -> None:
        """Begin to connect, in the background, for as long as it takes; returns at once."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(), name="tag-log")

    async def wait_ready(self) -> None:
        """Return when a producer is connected; `start` was called before."""
        while self._producer is None and self._starting is not None:
            await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """Send what waits, for a bounded time, and disconnect."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._sending:
            await asyncio.wait(self._sending, timeout=_STOP_S)
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._retire(producer)
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def append(
        self, values: Sequence[bytes], request_ids: Sequence[bytes] = ()
    ) -> list[tuple[int, Stored]]:
        """Return when each of ``values`` is on all in-sync replicas of a partition.

        What fits into one batch stands in order in one partition. Aggregates do not care which.

        Args:
            values: of the records, tags in JSON.
            request_ids: none, or one for each value, to go with it; an empty one is left out.

        Returns:
            (number of values, where they stand), in the order of ``values``.

        Raises:
            Unavailable: nothing was sent.
            OutcomeUnknown: some or all was sent, and the answer was an error or did not come.
        """
        producer = self._producer
        if producer is None:
            raise self.unreachable()
        partitions = sorted(producer.client.cluster.partitions_for_topic(self._topic) or ())
        if not partitions:
            raise Unavailable(f"the topic {self._topic} is not known (yet)")
        queue = self._queue
        if queue.silent_s(partitions, self._clock.monotonic()) > self.REFUSE_S:
            raise Unavailable("no partition of the log answers")
        loop = asyncio.get_running_loop()
        ids = request_ids or [b""] * len(values)
        entries = [
            _PendingBatch(values[part], ids[part], size, loop.create_future())
            for part, size in _parts(values, ids)
        ]
        queue.waiting.extend(entries)
        while queue.waiting and (partition := queue.idle(partitions)) is not None:
            self._begin(partition)
        outcomes = await asyncio.gather(*(entry.done for entry in entries), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            # Part of it may be stored: that is not "nothing was sent".
            if len(failures) < len(outcomes) or not isinstance(failures[0], Unavailable):
                raise OutcomeUnknown(f"the log: {failures[0]}") from failures[0]
            raise failures[-1]
        return [(len(entry.values), entry.done.result()) for entry in entries]

    def _begin(self, partition: int) -> None:
        """Send what waits to ``partition``, until the queue is empty."""
        entries = self._queue.take(partition, self._clock.monotonic())
        task = asyncio.create_task(self._send_all(partition, entries))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_all(self, partition: int, entries: list[_PendingBatch]) -> None:
        try:
            while entries:
                await self._send(partition, entries)
                entries = self._queue.take(partition, self._clock.monotonic())
        finally:
            del self._queue.sending_since_s[partition]

    async def _send(self, partition: int, entries: Sequence[_PendingBatch]) -> None:
        """One batch; every entry learns of its outcome."""
        producer = self._producer
        queued = False
        try:
            if producer is None:
                raise self.unreachable()
            batch = producer.create_batch()
            now_ms = self._clock.now_ms()
            for entry in entries:
                for value, id_ in zip(entry.values, entry.request_ids, strict=True):
                    headers = [*_HEADERS, (REQUEST_ID_HEADER, id_)] if id_ else _HEADERS
                    if not batch.append(key=None, value=value, timestamp=now_ms, headers=headers):
                        raise Unavailable("a batch is larger than it can be")
            answer = await producer.send_batch(batch, self._topic, partition=partition)
            queued = True
            async with asyncio.timeout(self._answer_s):
                metadata = await answer
        except Problem as problem:
            _refuse(entries, problem)
        except Exception as error:
            # Kafka's errors, and what breaks inside aiokafka (an AssertionError was seen).
            # A timeout on the way into aiokafka's queue leaves the producer as it was: the
            # partition is stuck, and this batch has no number yet.
            if producer is not None and (queued or not isinstance(error, KafkaTimeoutError)):
                self._give_up(producer, error)
            if queued:
                _refuse(entries, OutcomeUnknown(f"the log answered {error!r}"))
            else:
                _refuse(entries, Unavailable(f"the log does not take the tag: {error!r}"))
        except BaseException:
            _refuse(entries, OutcomeUnknown("the log was stopped"))
            raise
        else:
            offset = metadata.offset
            for entry in entries:
                if not entry.done.done():
                    entry.done.set_result(Stored(partition, offset, metadata.timestamp))
                offset += len(entry.values)

    def _give_up(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        self.last_error = f"{time.strftime('%H:%M:%S')} {error!r}"
        if producer is not self._producer:
            return
        logger.warning("replacing the log's producer after %r", error)
        self._producer = None
        self.replaced += 1
        self._retire(producer)
        self.start()

    def _retire(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _start(self) -> None:
        while self._producer is None:
            try:
                self._producer = await self._connect()
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                # Catches everything: a start that ended would make every later tag a 503.
                self.last_error = repr(error)
                logger.warning("the log cannot be reached: %r", error)
                await self._clock.sleep(_RESTART_S)

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            # We batch ourselves; a batch of ours is never held back.
            linger_ms=0,
            max_batch_size=_BATCH_BYTES + 128 * 1024,
            retry_backoff_ms=50,
            **connection_options(self._settings),
        )
        try:
            async with asyncio.timeout(_START_S):
                await producer.start()
                await producer.partitions_for(self._topic)
        except BaseException:
            await _stop(producer)
            raise
        return producer


def _parts(values: Sequence[bytes], ids: Sequence[bytes]) -> list[tuple[slice, int]]:
    """``values`` in as few pieces as fit into a batch each, with their sizes in bytes."""
    parts: list[tuple[slice, int]] = []
    first, size = 0, 0
    for at, (value, id_) in enumerate(zip(values, ids, strict=True)):
        added = len(value) + len(id_) + _RECORD_BYTES
        if size and size + added > _BATCH_BYTES:
            parts.append((slice(first, at), size))
            first, size = at, 0
        size += added
    parts.append((slice(first, len(values)), size))
    return parts


def _refuse(entries: Sequence[_PendingBatch], problem: Problem) -> None:
    for entry in entries:
        entry.refuse(problem)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Close a producer; what it still holds may or may not be sent, and its futures tell."""
    await close_clients(_STOP_S, producer.stop(), producer.client.close())
