"""One partition of a topic as a ``Log``, by aiokafka."""

import asyncio
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

_Clients = tuple[AIOKafkaConsumer, AIOKafkaClient]
"""One fetches; the other tells the topic's id and the leader, which a consumer does not."""


class KafkaLog(Log):
    """Assigned by hand: no consumer group, no committed offsets, no reset of a lost position.

    After any error the clients are discarded, and the next `state` starts new ones: a client that
    has seen a broker die is not worth reasoning about.
    """

    def __init__(
        self, topic: str, partition: int, *, stores: Settings, settings: ActorSettings
    ) -> None:
        self._topic_partition = TopicPartition(topic, partition)
        self._stores = stores
        self._settings = settings
        self._clients: _Clients | None = None
        self._opening = asyncio.Lock()
        self._closings: set[asyncio.Task[None]] = set()

    @override
    async def state(self) -> LogState:
        async with self._guarded(self._settings.log_timeout_s):
            consumer, client = await self._connected()
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
            self._consumer().seek(self._topic_partition, offset)

    @override
    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        async with self._guarded(timeout_s + self._settings.log_timeout_s):
            fetched = await self._consumer().getmany(
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
        # Waits for a `state` that is opening clients: it would keep them.
        async with self._opening:
            self._discard()
        if self._closings:
            await asyncio.wait(self._closings)

    def _consumer(self) -> AIOKafkaConsumer:
        if self._clients is None:
            raise LogUnavailable("not connected to Kafka")
        return self._clients[0]

    async def _connected(self) -> _Clients:
        # Readers that share this log ask it at the same time, after an error all of them.
        async with self._opening:
            if self._clients is None:
                self._clients = await self._open()
            return self._clients

    async def _open(self) -> _Clients:
        settings = self._settings
        # Here and not earlier: a CA file that cannot be read is an error like any other.
        options = connection_options(self._stores)
        client = AIOKafkaClient(**options)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=settings.fetch_wait_ms,
            fetch_min_bytes=settings.fetch_min_bytes,
            fetch_max_bytes=settings.fetch_max_bytes,
            max_partition_fetch_bytes=settings.fetch_max_bytes,
        )
        try:
            await client.bootstrap()
            client.add_topic(self._topic_partition.topic)
            await client.force_metadata_update()
            await consumer.start()
            consumer.assign([self._topic_partition])
        except BaseException:
            self._close_soon(consumer, client)
            raise
        return consumer, client

    def _discard(self) -> None:
        clients, self._clients = self._clients, None
        if clients is not None:
            self._close_soon(*clients)

    def _close_soon(self, consumer: AIOKafkaConsumer, client: AIOKafkaClient) -> None:
        # A TLS connection waits for the broker's farewell, which one without power never says.
        task = asyncio.create_task(self._close(consumer, client))
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

    async def _close(self, consumer: AIOKafkaConsumer, client: AIOKafkaClient) -> None:
        # Without the inner client's close(), stop() would leak it: it fails while a fetch waits
        # to retry, as it does when a broker has died.
        await close_clients(
            self._settings.log_timeout_s, consumer.stop(), consumer._client.close(), client.close()
        )

    @asynccontextmanager
    async def _guarded(self, timeout_s: float) -> AsyncIterator[None]:
        """Turn every failure inside into ``LogUnavailable``, and discard the clients."""
        try:
            async with kafka_call(self._topic_partition.topic, timeout_s):
                yield
        except LogUnavailable:
            self._discard()
            raise
