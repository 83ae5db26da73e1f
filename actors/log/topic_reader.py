"""All partitions of one topic with a group's committed offsets, for the two profile loops."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import OffsetAndMetadata

from actors.errors import LogUnavailable
from actors.log.kafka_errors import asking_kafka
from actors.log.ports import Record
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_client, connection_options

Offsets = Mapping[int, int]
"""Kafka partition → offset of the next record."""


class TopicReader:
    """Assigned by hand: the group only keeps offsets, nobody is ever rebalanced.

    Every method raises ``LogUnavailable`` within ``timeout_s`` when Kafka does not answer; the
    reader is then of no use any more: `close` it and open another.
    """

    def __init__(self, topic: str, group: str, *, stores: Settings, timeout_s: float) -> None:
        """Connects nothing yet."""
        self._topic = topic
        self._group = group
        self._options = connection_options(stores)
        self._timeout_s = timeout_s
        self._consumer: AIOKafkaConsumer | None = None
        self.partitions: tuple[int, ...] = ()

    async def open(self) -> None:
        """Connect and take all partitions; positions are undefined until `seek`."""
        async with self._guarded():
            consumer = AIOKafkaConsumer(
                **self._options,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",
            )
            self._consumer = consumer
            await consumer.start()
            self.partitions = await self._partitions()
            consumer.assign(self._all())

    async def begins(self) -> Offsets:
        """Offset of the first record of each partition."""
        async with self._guarded():
            return _by_number(await self._open_consumer().beginning_offsets(self._all()))

    async def ends(self) -> Offsets:
        """Offset of the next record of each partition."""
        async with self._guarded():
            return _by_number(await self._open_consumer().end_offsets(self._all()))

    async def committed(self) -> Offsets:
        """What the group has committed; partitions without are left out."""
        async with self._guarded():
            consumer = self._open_consumer()
            offsets = await asyncio.gather(*(consumer.committed(tp) for tp in self._all()))
            return {
                number: offset
                for number, offset in zip(self.partitions, offsets, strict=True)
                if offset is not None
            }

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

    async def commit(self, offsets: Offsets, note: str = "") -> None:
        """Store ``offsets`` for the group, each with ``note`` (a few hundred bytes at most)."""
        if offsets:
            async with self._guarded():
                await self._open_consumer().commit(
                    {
                        TopicPartition(self._topic, number): OffsetAndMetadata(at, note)
                        for number, at in offsets.items()
                    }
                )

    async def note(self) -> str | None:
        """What all partitions were last committed with; None if they differ, or one never was."""
        async with self._guarded():
            # A consumer's own call tells the offset only.
            admin = AIOKafkaAdminClient(**self._options)
            try:
                await admin.start()
                stored = await admin.list_consumer_group_offsets(
                    self._group, partitions=self._all()
                )
            finally:
                await close_client(admin.close(), self._timeout_s)
        # Kafka tells -1 of a partition without a committed offset.
        notes = [at.metadata for at in stored.values() if at.offset >= 0]
        return notes[0] if notes and notes == [notes[0]] * len(self.partitions) else None

    async def close(self) -> None:
        """Let go of every connection. Never raises."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_client(consumer.stop(), self._timeout_s)

    async def _partitions(self) -> tuple[int, ...]:
        # A consumer looks up topics that it has, and is given them by partition: ask beside it.
        client = AIOKafkaClient(**self._options)
        try:
            await client.bootstrap()
            client.add_topic(self._topic)
            await client.force_metadata_update()
            partitions = client.cluster.partitions_for_topic(self._topic)
        finally:
            await close_client(client.close(), self._timeout_s)
        if not partitions:
            raise LogUnavailable(f"topic {self._topic} does not exist")
        return tuple(sorted(partitions))

    def _all(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in self.partitions]

    def _open_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogUnavailable("not connected to Kafka")
        return self._consumer

    def _guarded(self, extra_s: float = 0.0) -> AbstractAsyncContextManager[None]:
        return asking_kafka(self._topic, self._timeout_s + extra_s)


def _by_number(offsets: Mapping[TopicPartition, int]) -> Offsets:
    return {tp.partition: offset for tp, offset in offsets.items()}
