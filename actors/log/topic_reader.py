"""All partitions of one topic, for the operators' tools."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient

from actors.errors import LogUnavailable
from actors.log.kafka_errors import kafka_call
from actors.log.ports import Record
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_client, close_clients, connection_options
from serve_app.stores.topic_id import topic_id

Offsets = Mapping[int, int]
"""Kafka partition → offset of the next record."""


class TopicReader:
    """Assigned by hand: no consumer group, no committed offsets.

    Every method raises ``LogUnavailable`` within ``timeout_s`` when Kafka does not answer; the
    reader is then of no use any more: `close` it and open another.
    """

    def __init__(self, topic: str, *, stores: Settings, timeout_s: float) -> None:
        self._topic = topic
        self._options = connection_options(stores)
        self._timeout_s = timeout_s
        self._consumer: AIOKafkaConsumer | None = None
        self.partitions: tuple[int, ...] = ()
        self.topic_id = ""
        """As of `open`."""

    async def open(self) -> None:
        """Connect and take all partitions; positions are undefined until `seek`."""
        async with self._guarded():
            consumer = AIOKafkaConsumer(
                **self._options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
            )
            self._consumer = consumer
            await consumer.start()
            self.partitions, self.topic_id = await self._look_up()
            consumer.assign(self._all())

    async def check_topic(self) -> None:
        """Raise ``LogUnavailable`` if the topic is another one than at `open`."""
        async with self._guarded():
            _, identifier = await self._look_up()
        if identifier != self.topic_id:
            raise LogUnavailable(
                f"topic {self._topic} was replaced meanwhile: its id was {self.topic_id} and is "
                f"{identifier} now"
            )

    async def begins(self) -> Offsets:
        """Offset of the first record of each partition."""
        async with self._guarded():
            return _by_number(await self._open_consumer().beginning_offsets(self._all()))

    async def ends(self) -> Offsets:
        """Offset of the next record of each partition."""
        async with self._guarded():
            return _by_number(await self._open_consumer().end_offsets(self._all()))

    async def offsets_at(self, time_ms: int) -> Offsets:
        """First offset that arrived at or after ``time_ms`` (epoch ms), else the end."""
        async with self._guarded():
            consumer = self._open_consumer()
            ends = await consumer.end_offsets(self._all())
            found = await consumer.offsets_for_times(dict.fromkeys(self._all(), time_ms))
            return {
                tp.partition: ends[tp] if found.get(tp) is None else found[tp].offset
                for tp in self._all()
            }

    def seek(self, offsets: Offsets) -> None:
        """Continue at ``offsets``."""
        for number, offset in offsets.items():
            self._open_consumer().seek(TopicPartition(self._topic, number), offset)

    async def fetch(self, max_records: int, timeout_s: float) -> list[tuple[int, Record]]:
        """(partition, record) of what comes next, maybe nothing; in order within a partition."""
        async with self._guarded(timeout_s):
            fetched = await self._open_consumer().getmany(
                timeout_ms=int(timeout_s * 1000), max_records=max_records
            )
        return [
            (tp.partition, Record(record.offset, record.value, record.timestamp, record.headers))
            for tp, records in fetched.items()
            for record in records
        ]

    async def close(self) -> None:
        """Let go of every connection. Never raises."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_clients(self._timeout_s, consumer.stop(), consumer._client.close())

    async def _look_up(self) -> tuple[tuple[int, ...], str]:
        # A consumer looks up topics that it has, and is given them by partition: ask beside it.
        client = AIOKafkaClient(**self._options)
        try:
            await client.bootstrap()
            client.add_topic(self._topic)
            await client.force_metadata_update()
            partitions = client.cluster.partitions_for_topic(self._topic)
            if not partitions:
                raise LogUnavailable(f"topic {self._topic} does not exist")
            identifier = await topic_id(client, client.get_random_node(), self._topic)
        finally:
            await close_client(client.close(), self._timeout_s)
        return tuple(sorted(partitions)), identifier

    def _all(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in self.partitions]

    def _open_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogUnavailable("not connected to Kafka")
        return self._consumer

    def _guarded(self, extra_s: float = 0.0) -> AbstractAsyncContextManager[None]:
        return kafka_call(self._topic, self._timeout_s + extra_s)


def _by_number(offsets: Mapping[TopicPartition, int]) -> Offsets:
    return {tp.partition: offset for tp, offset in offsets.items()}
