"""One partition of a topic as a ``Log``, by aiokafka."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from typing_extensions import override

from actors.errors import LogUnavailable
from actors.log.kafka_errors import kafka_call
from actors.log.ports import Log, LogState, Record
from actors.settings import ActorSettings
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_clients, connection_options
from serve_app.stores.topic_id import topic_id

logger = logging.getLogger(__name__)


class KafkaLog(Log):
    """Assigned by hand: no consumer group, no committed offsets, no reset of a lost position.

    After any error the clients are discarded, and the next `state` starts new ones: a client that
    has seen a broker die is not worth reasoning about.
    """

    def __init__(
        self, topic: str, partition: int, *, stores: Settings, settings: ActorSettings
    ) -> None:
        self._topic_partition = TopicPartition(topic, partition)
        self._options = connection_options(stores)
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._client: AIOKafkaClient | None = None

    @override
    async def state(self) -> LogState:
        async with self._guarded(self._settings.log_timeout_s):
            if self._consumer is None or self._client is None:
                await self._open()
            consumer, client = self._consumer, self._client
            assert consumer is not None
            assert client is not None
            topic = self._topic_partition.topic
            leader = client.cluster.leader_for_partition(self._topic_partition)
            if leader is None or leader < 0:
                await client.force_metadata_update()
                leader = client.cluster.leader_for_partition(self._topic_partition)
            if leader is None or leader < 0:
                partition = self._topic_partition.partition
                if client.cluster.partitions_for_topic(topic) is None:
                    raise LogUnavailable(f"topic {topic} does not exist")
                raise LogUnavailable(f"partition {partition} of topic {topic} has no leader")
            begins, ends, identifier = await asyncio.gather(
                consumer.beginning_offsets([self._topic_partition]),
                consumer.end_offsets([self._topic_partition]),
                topic_id(client, leader, topic),
            )
            return LogState(identifier, begins[self._topic_partition], ends[self._topic_partition])

    @override
    async def seek(self, offset: int) -> None:
        async with self._guarded(self._settings.log_timeout_s):
            if self._consumer is None:
                raise LogUnavailable("not connected to Kafka")
            self._consumer.seek(self._topic_partition, offset)

    @override
    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        async with self._guarded(timeout_s + self._settings.log_timeout_s):
            if self._consumer is None:
                raise LogUnavailable("not connected to Kafka")
            fetched = await self._consumer.getmany(
                self._topic_partition,
                timeout_ms=int(timeout_s * 1000),
                max_records=max_records,
            )
        return [
            Record(record.offset, record.value, record.timestamp, record.headers)
            for record in fetched.get(self._topic_partition, ())
        ]

    @override
    async def close(self) -> None:
        consumer, client = self._consumer, self._client
        self._consumer = self._client = None
        closings = []
        if consumer is not None:
            closings.append(consumer.stop())
        if client is not None:
            closings.append(client.close())
        await close_clients(self._settings.log_timeout_s, *closings)

    async def _open(self) -> None:
        settings = self._settings
        self._client = AIOKafkaClient(**self._options)
        await self._client.bootstrap()
        self._client.add_topic(self._topic_partition.topic)
        await self._client.force_metadata_update()
        self._consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=settings.fetch_wait_ms,
            fetch_min_bytes=settings.fetch_min_bytes,
            fetch_max_bytes=settings.fetch_max_bytes,
            max_partition_fetch_bytes=settings.fetch_max_bytes,
        )
        await self._consumer.start()
        self._consumer.assign([self._topic_partition])

    @asynccontextmanager
    async def _guarded(self, timeout_s: float) -> AsyncIterator[None]:
        """Turn every failure inside into ``LogUnavailable``, and close the clients."""
        try:
            async with kafka_call(self._topic_partition.topic, timeout_s):
                yield
        except LogUnavailable:
            await self.close()
            raise
