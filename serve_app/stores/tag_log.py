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
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from serve_app.core.clock import Clock, SystemClock
from serve_app.core.errors import OutcomeUnknown, Unavailable
from serve_app.core.names import FORMAT_HEADER, FORMAT_JSON_V1
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import connection_options

logger = logging.getLogger(__name__)

_HEADERS: Final = [(FORMAT_HEADER, FORMAT_JSON_V1)]
_RESTART_S: Final = 0.5
_STOP_S: Final = 10.0


class TagLog:
    """Appends to any topic of the cluster; a process has one."""

    STUCK_S = 0.1
    """A partition whose oldest unanswered batch is older than this is passed over."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], clock: Clock | None = None
    ) -> None:
        """``topics`` must exist before the log is ready; connects when `start` is called."""
        self._settings = settings
        self._topics = topics
        self._clock = clock or SystemClock()
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._in_flight: dict[tuple[str, int], list[float]] = {}
        self._turn = 0
        self.replaced = 0
        """Producers given up so far."""
        self.last_error = ""
        """Why there is no producer, or what the last one failed of; empty if none ever did."""

    @property
    def ready(self) -> bool:
        """Whether a producer is connected."""
        return self._producer is not None

    def start(self) -> None:
        """Begin to connect, in the background, for as long as it takes; returns at once."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(), name="tag-log")

    async def wait_ready(self) -> None:
        """Return when a producer is connected; `start` was called before."""
        while self._producer is None and self._starting is not None:
            await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """Send what is queued, for a bounded time, and disconnect."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._retire(producer)
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def append(self, topic: str, values: Sequence[bytes]) -> None:
        """Return when all of ``values`` are on all in-sync replicas of one partition.

        Raises:
            Unavailable: nothing was sent.
            OutcomeUnknown: sent, and the answer was an error or did not come.
        """
        producer = self._producer
        if producer is None:
            raise Unavailable(f"the log cannot be reached: {self.last_error or 'connecting'}")
        partition = self._choose(producer, topic)
        started = self._clock.monotonic()
        waiting = self._in_flight.setdefault((topic, partition), [])
        waiting.append(started)
        queued = False
        try:
            for batch in _batches(producer, values, self._clock.now_ms()):
                answer = await producer.send_batch(batch, topic, partition=partition)
                queued = True
                await answer
        except (KafkaError, OSError, AssertionError) as error:
            # A timeout on the way into the queue leaves the producer as it was: the partition is
            # stuck, and this batch has no number yet.
            if queued or not isinstance(error, KafkaTimeoutError):
                self._give_up(producer, error)
            if queued:
                raise OutcomeUnknown(f"the log answered {error!r}") from error
            raise Unavailable(f"the log does not take the tag: {error!r}") from error
        finally:
            waiting.remove(started)

    def _choose(self, producer: AIOKafkaProducer, topic: str) -> int:
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
        return min(in_turn, key=lambda partition: self._stuck_s(topic, partition))

    def _stuck_s(self, topic: str, partition: int) -> float:
        waiting = self._in_flight.get((topic, partition))
        if not waiting:
            return 0.0
        age_s = self._clock.monotonic() - waiting[0]
        return age_s if age_s > self.STUCK_S else 0.0

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
                max_batch_size=512 * 1024,
                retry_backoff_ms=50,
                metadata_max_age_ms=30_000,
                **connection_options(self._settings),
            )
            try:
                await producer.start()
                for topic in self._topics:
                    await producer.partitions_for(topic)
                self._producer = producer
            except (KafkaError, OSError) as error:
                self.last_error = repr(error)
                logger.warning("the log cannot be reached: %r", error)
                await _stop(producer)
                await self._clock.sleep(_RESTART_S)
            except asyncio.CancelledError:
                await _stop(producer)
                raise


def _batches(producer: AIOKafkaProducer, values: Sequence[bytes], now_ms: int) -> list[Any]:
    """``values`` in as few batches as the batch size allows; one, but for very large bodies."""
    batch = producer.create_batch()
    batches = [batch]
    for value in values:
        if batch.append(key=None, value=value, timestamp=now_ms, headers=_HEADERS) is None:
            batch = producer.create_batch()
            batches.append(batch)
            batch.append(key=None, value=value, timestamp=now_ms, headers=_HEADERS)
    return batches


async def _stop(producer: AIOKafkaProducer) -> None:
    """Close a producer; what it still holds may or may not be sent, and its futures tell."""
    try:
        async with asyncio.timeout(_STOP_S):
            await producer.stop()
    except TimeoutError:
        logger.warning("a producer of the log did not close within %s s", _STOP_S)
        await producer.client.close()
    except Exception as error:
        # A producer that failed may raise its failure again from stop().
        logger.info("a producer of the log closed with %r", error)
        await producer.client.close()
