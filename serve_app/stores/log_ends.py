"""The log's end offsets, sampled over time: what had been accepted by when.

Everything accepted before a moment lies below the end offsets asked for after that moment. So a
view that has applied all up to ends that were sampled at time t holds all accepted before t.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from serve_app.core.clock import Clock, SystemClock
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_clients, connection_options, is_being_cancelled
from serve_app.stores.topic_id import topic_id

logger = logging.getLogger(__name__)

Offsets = Mapping[int, int]
"""Kafka partition → offset of the next record."""

SAMPLE_S: Final = 1.0
KEEP_S: Final = 120.0
_ASK_S: Final = 5.0
_END_S: Final = 3.0
"""For one partition: a second look is still within a profile's promise of 10 s."""
_TRIES: Final = 3
"""Looks of which none was whole, until there are new clients; brokers asked for the topic's id."""


@dataclass(frozen=True, slots=True)
class Sample:
    """End offsets of the topic of tags, each at least as new as ``asked_s``."""

    asked_s: float
    """Monotonic seconds at which the oldest of them was asked for."""
    topic_id: str
    """Id of the topic: a view of another topic says nothing about these ends."""
    ends: Offsets


class LogEnds:
    """Samples about once a second in the background; keeps two minutes of samples."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Connects in the background once `start` is called."""
        self._settings = settings
        self._clock = clock or SystemClock()
        self._samples: deque[Sample] = deque()
        self._new = asyncio.Condition()
        self.task: asyncio.Task[None] | None = None
        """The background work; it does not end before `stop`."""
        self.last_error = ""
        """Why the last attempt failed; empty after a success."""

    def start(self) -> None:
        """Begin to sample; returns at once."""
        self.task = asyncio.create_task(self._run(), name="log-ends")

    async def stop(self) -> None:
        """End the background work."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    @property
    def newest(self) -> Sample | None:
        """The last sample, however old."""
        return self._samples[-1] if self._samples else None

    def oldest_since(self, moment_s: float) -> Sample | None:
        """The first sample asked for at or after ``moment_s`` (monotonic), if there is one."""
        for sample in self._samples:
            if sample.asked_s >= moment_s:
                return sample
        return None

    async def wait_ready(self) -> None:
        """Return when a first sample was taken."""
        async with self._new:
            await self._new.wait_for(lambda: bool(self._samples))

    async def wait_since(self, moment_s: float, timeout_s: float) -> Sample | None:
        """Like `oldest_since`, but waits up to ``timeout_s`` for one to be taken."""
        try:
            async with asyncio.timeout(timeout_s), self._new:
                await self._new.wait_for(lambda: self.oldest_since(moment_s) is not None)
        except TimeoutError:
            pass
        return self.oldest_since(moment_s)

    async def _run(self) -> None:
        while True:
            try:
                await self._sample()
            except (Exception, asyncio.CancelledError) as error:
                stray = isinstance(error, asyncio.CancelledError)
                if stray and is_being_cancelled():
                    raise
                # Catches everything: a sampler that ended would make every later aggregate a 503.
                self.last_error = repr(error)
                known = stray or isinstance(error, KafkaError | OSError)
                logger.warning("the log's ends cannot be read: %r", error, exc_info=not known)
            await self._clock.sleep(SAMPLE_S)

    async def _sample(self) -> None:
        """Connect, and sample until some partitions have not answered `_TRIES` times in a row."""
        options = connection_options(self._settings)
        consumer = AIOKafkaConsumer(group_id=None, enable_auto_commit=False, **options)
        # The consumer has no call that tells a topic's id.
        client = AIOKafkaClient(**options)
        try:
            async with asyncio.timeout(_ASK_S):
                await consumer.start()
                await client.bootstrap()
            failed = 0
            # After that new clients: old ones may not find the partitions of a dead broker.
            while failed < _TRIES:
                failed = 0 if await self._take(consumer, client) else failed + 1
                await self._clock.sleep(SAMPLE_S)
        finally:
            await close_clients(_ASK_S, consumer.stop(), consumer._client.close(), client.close())

    async def _take(self, consumer: AIOKafkaConsumer, client: AIOKafkaClient) -> bool:
        """Take a sample; whether all partitions answered. Of the others it has the last end known.

        Raises:
            KafkaError, TimeoutError: none has answered.
        """
        async with asyncio.timeout(_ASK_S):
            partitions = await _partitions(consumer, USER_TAGS_TOPIC)
        asked_s = self._clock.monotonic()
        # Each by itself: others take tags while one broker does not answer.
        answers = await asyncio.gather(
            *(_end(consumer, partition) for partition in partitions), return_exceptions=True
        )
        ends = {
            partition.partition: answer
            for partition, answer in zip(partitions, answers, strict=True)
            if isinstance(answer, int)
        }
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if not ends:
            raise errors[0]
        # After the ends: made again in between, the topic would have another id.
        identifier = await _topic_id(client)
        self.last_error = f"not all partitions answer: {errors[0]!r}" if errors else ""
        if not errors:
            await self.add(Sample(asked_s, identifier, ends))
            return True
        logger.warning("the log's ends: %s", self.last_error)
        last = self.newest
        if last is not None and last.topic_id == identifier and ends.keys() <= last.ends.keys():
            await self.add(replace(last, ends={**last.ends, **ends}))
        return False

    async def add(self, sample: Sample) -> None:
        """Keep a sample, and wake those who wait for one."""
        if self._samples and _log_of(self._samples[-1]) != _log_of(sample):
            # The topic has grown or was recreated: older samples do not cover all of it.
            self._samples.clear()
        if [one.asked_s for one in self._samples][-2:] == [sample.asked_s] * 2:
            # Of the parts of a sample that were asked again, the newest is enough.
            self._samples.pop()
        self._samples.append(sample)
        while self._samples[0].asked_s < sample.asked_s - KEEP_S:
            self._samples.popleft()
        async with self._new:
            self._new.notify_all()


def _log_of(sample: Sample) -> tuple[str, frozenset[int]]:
    return sample.topic_id, frozenset(sample.ends)


async def _end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    async with asyncio.timeout(_END_S):
        return int((await consumer.end_offsets([partition]))[partition])


async def _topic_id(client: AIOKafkaClient) -> str:
    """Of any broker: one that does not answer may be asked first."""
    for _ in range(_TRIES - 1):
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(_END_S):
                return await topic_id(client, client.get_random_node(), USER_TAGS_TOPIC)
    async with asyncio.timeout(_END_S):
        return await topic_id(client, client.get_random_node(), USER_TAGS_TOPIC)


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        # Asking for any partition makes the client follow the topic.
        await consumer.end_offsets([TopicPartition(topic, 0)])
        numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise KafkaError(f"no topic {topic}")
    return [TopicPartition(topic, number) for number in sorted(numbers)]
