"""The log of accepted tags: an idempotent Kafka producer that is replaced when it fails.

Kafka is the record of what was accepted. ``append`` either returns (every record is on all
in-sync replicas), or says which of two things went wrong: nothing was sent, or nobody knows.

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
from serve_app.stores.kafka_clients import close_client, connection_options

logger = logging.getLogger(__name__)

_HEADERS: Final = [(FORMAT_HEADER, FORMAT_JSON_V1)]
_RECORD_BYTES: Final = 64
"""More than a record takes beside its value."""
_BATCH_BYTES: Final = 512 * 1024
"""Of one batch; Kafka's own bound is 1 MiB."""
_START_S: Final = 30.0
_ANSWER_TIMEOUTS: Final = 10
"""A producer gives a batch up some time after its request time-out, and waits longer where there
is no leader. One that has done neither after this many of them is broken, and would hold up its
partition for ever."""
_RESTART_S: Final = 0.5
_STOP_S: Final = 10.0


@dataclass(slots=True, eq=False)
class _Entry:
    values: Sequence[bytes]
    request_ids: Sequence[bytes]
    size: int
    done: asyncio.Future[None]

    def refuse(self, problem: Problem) -> None:
        if not self.done.done():
            self.done.set_exception(problem)


@dataclass(slots=True, eq=False)
class _Lane:
    """The way into one partition: one batch is under way, what comes meanwhile goes together.

    aiokafka has such a queue, too, but counts the time that a batch waits in it several times
    over, and so gives up far too soon after a pause of the broker.
    """

    topic: str
    partition: int
    waiting: deque[_Entry] = field(default_factory=deque)
    sending_since_s: float | None = None
    task: asyncio.Task[None] | None = None


class TagLog:
    """Appends to any topic of the cluster; a process has one."""

    STUCK_S = 0.1
    """A partition whose batch is unanswered for longer than this is passed over."""
    REFUSE_S = 1.0
    """While all of them are for longer than this, more is refused at once: by then a client has
    gone, and a tag that it is told was not stored can be sent again."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], clock: Clock | None = None
    ) -> None:
        """``topics`` must exist before the log is ready; connects when `start` is called."""
        self._settings = settings
        self._answer_s = _ANSWER_TIMEOUTS * settings.kafka_request_timeout_ms / 1000
        self._topics = topics
        self._clock = clock or SystemClock()
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._turn = 0
        self.replaced = 0
        """Producers given up so far."""
        self.last_error = ""
        """Why there is no producer, or what the last one failed of; empty if none ever did."""

    @property
    def ready(self) -> bool:
        """Whether a producer is connected."""
        return self._producer is not None

    def unreachable(self) -> Unavailable:
        """What a tag is told while there is no producer."""
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
        sending = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if sending:
            await asyncio.wait(sending, timeout=_STOP_S)
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._retire(producer)
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def append(
        self, topic: str, values: Sequence[bytes], request_ids: Sequence[bytes] = ()
    ) -> None:
        """Return when all of ``values`` are on all in-sync replicas of a partition.

        ``request_ids``: none, or one for each value, to go with it; an empty one is left out.

        Raises:
            Unavailable: nothing was sent.
            OutcomeUnknown: some or all was sent, and the answer was an error or did not come.
        """
        producer = self._producer
        if producer is None:
            raise self.unreachable()
        lane = self._choose(producer, topic)
        if self._stuck_s(lane) > self.REFUSE_S:
            raise Unavailable("no partition of the log answers")
        loop = asyncio.get_running_loop()
        ids = request_ids or [b""] * len(values)
        entries = [
            _Entry(values[part], ids[part], size, loop.create_future())
            for part, size in _parts(values, ids)
        ]
        lane.waiting.extend(entries)
        if lane.task is None:
            lane.task = asyncio.create_task(self._send_all(lane))
        outcomes = await asyncio.gather(*(entry.done for entry in entries), return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            # Half a unit that was stored is not «nothing was sent».
            if len(failures) < len(outcomes) or not isinstance(failures[0], Unavailable):
                raise OutcomeUnknown(f"the log: {failures[0]}") from failures[0]
            raise failures[-1]

    def _choose(self, producer: AIOKafkaProducer, topic: str) -> _Lane:
        """The next partition in turn, unless it is stuck and another one is less so.

        Aggregates do not care which partition a tag is in, so a partition without a leader need
        not hold up the tags of anybody.
        """
        partitions: list[int] = sorted(producer.client.cluster.partitions_for_topic(topic) or ())
        if not partitions:
            raise Unavailable(f"the topic {topic} is not known (yet)")
        self._turn += 1
        first = self._turn % len(partitions)
        in_turn = partitions[first:] + partitions[:first]
        return min((self._lane(topic, partition) for partition in in_turn), key=self._stuck_s)

    def _lane(self, topic: str, partition: int) -> _Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition)
        return lane

    def _stuck_s(self, lane: _Lane) -> float:
        if lane.sending_since_s is None:
            return 0.0
        age_s = self._clock.monotonic() - lane.sending_since_s
        return age_s if age_s > self.STUCK_S else 0.0

    async def _send_all(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                entries = [lane.waiting.popleft()]
                size = entries[0].size
                while lane.waiting and size + lane.waiting[0].size <= _BATCH_BYTES:
                    entries.append(lane.waiting.popleft())
                    size += entries[-1].size
                lane.sending_since_s = self._clock.monotonic()
                await self._send(lane, entries)
        finally:
            lane.sending_since_s = None
            lane.task = None

    async def _send(self, lane: _Lane, entries: Sequence[_Entry]) -> None:
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
            answer = await producer.send_batch(batch, lane.topic, partition=lane.partition)
            queued = True
            async with asyncio.timeout(self._answer_s):
                await answer
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
            for entry in entries:
                if not entry.done.done():
                    entry.done.set_result(None)

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
                    for topic in self._topics:
                        await producer.partitions_for(topic)
                self._producer = producer
            except Exception as error:
                # Whatever it is, a start that ends would make every later tag a 503.
                self.last_error = repr(error)
                logger.warning("the log cannot be reached: %r", error)
                await _stop(producer)
                await self._clock.sleep(_RESTART_S)
            except asyncio.CancelledError:
                await _stop(producer)
                raise


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


def _refuse(entries: Sequence[_Entry], problem: Problem) -> None:
    for entry in entries:
        entry.refuse(problem)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Close a producer; what it still holds may or may not be sent, and its futures tell."""
    await close_client(producer.stop(), _STOP_S)
    # Where stop() failed or took too long, its connections are still there; else nothing happens.
    await close_client(producer.client.close(), _STOP_S)
