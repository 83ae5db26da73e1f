"""The topic of tags in memory: offsets, retention, and clients that are cut off."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from actors.errors import LogUnavailable
from actors.log.ports import LogState, Record
from serve_app.core.names import FORMAT_ERASE_V1, FORMAT_HEADER, USER_TAGS_TOPIC

LATENCY_S = 0.002
SLOW_S = 2.5


@dataclass(slots=True)
class Partition:
    """Records by offset; those below ``begin`` are deleted."""

    records: list[Record] = field(default_factory=list)
    begin: int = 0

    @property
    def end(self) -> int:
        return len(self.records)


async def _at_once(client: str) -> None:
    pass


class Kafka:
    """All records are committed; the world decides whether a producer gets its acknowledgement."""

    def __init__(self, partitions: int) -> None:
        self.topics = 1
        """How many there have been."""
        self.partitions = [Partition() for _ in range(partitions)]
        self.cut_off: set[str] = set()
        """Clients that get no answer."""
        self.slow: set[str] = set()
        """Clients whose answers are delayed, and therefore outdated."""
        self.appended = asyncio.Event()
        self.thawed: Callable[[str], Awaitable[None]] = _at_once
        """Returns once the client is not stopped."""

    @property
    def topic_id(self) -> str:
        return f"{self.topics:032x}"

    def replace_topic(self) -> None:
        """By an empty one of the same name."""
        self.topics += 1
        self.partitions = [Partition() for _ in self.partitions]

    def append(self, partition: int, value: bytes, now_ms: int, *, erasure: bool = False) -> int:
        """Its offset."""
        records = self.partitions[partition].records
        headers = ((FORMAT_HEADER, FORMAT_ERASE_V1),) if erasure else ()
        records.append(Record(len(records), value, now_ms, headers))
        self.appended.set()
        self.appended = asyncio.Event()
        return len(records) - 1

    def reachable(self, client: str) -> bool:
        return client not in self.cut_off


class Reader:
    """A ``Log``."""

    def __init__(self, kafka: Kafka, partition: int, client: str) -> None:
        self._kafka = kafka
        self._number = partition
        self._client = client
        self._at: int | None = None

    @property
    def _partition(self) -> Partition:
        return self._kafka.partitions[self._number]

    async def state(self) -> LogState:
        await self._ask()
        if self._at is None:
            self._at = 0
        return LogState(self._kafka.topic_id, self._partition.begin, self._partition.end)

    async def seek(self, offset: int) -> None:
        if self._at is None:
            raise LogUnavailable("not connected to Kafka")
        self._at = offset

    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        if self._at is None:
            raise LogUnavailable("not connected to Kafka")
        at = self._at
        if at >= self._partition.end or not self._kafka.reachable(self._client):
            appended = self._kafka.appended
            try:
                async with asyncio.timeout(timeout_s):
                    await appended.wait()
            except TimeoutError:
                return []
        await asyncio.sleep(LATENCY_S)
        await self._kafka.thawed(self._client)
        if not self._kafka.reachable(self._client) or self._at is None:
            return []
        partition = self._partition
        if not partition.begin <= at <= partition.end:
            await self.close()
            raise LogUnavailable("offset out of range")
        # `seek` may have been called meanwhile.
        records = partition.records[at : at + max_records]
        self._at = at + len(records)
        return records

    async def close(self) -> None:
        self._at = None

    async def _ask(self) -> None:
        await asyncio.sleep(LATENCY_S)
        await self._kafka.thawed(self._client)
        if not self._kafka.reachable(self._client):
            await asyncio.sleep(2.0)
            await self.close()
            raise LogUnavailable("no answer")


class Ends:
    """The methods that ``LogEnds`` uses of a consumer, and of a client for the topic's id."""

    def __init__(self, kafka: Kafka, client: str) -> None:
        self._kafka = kafka
        self._client = client

    @property
    def topic_id(self) -> str:
        return self._kafka.topic_id

    def partitions_for_topic(self, topic: str) -> set[int]:
        assert topic == USER_TAGS_TOPIC
        return set(range(len(self._kafka.partitions)))

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await asyncio.sleep(LATENCY_S)
        if not self._kafka.reachable(self._client):
            # `LogEnds` has its own time-out.
            await asyncio.sleep(3600)
        ends = {tp: self._kafka.partitions[tp.partition].end for tp in partitions}
        await asyncio.sleep(SLOW_S if self._client in self._kafka.slow else LATENCY_S)
        return ends

    def get_random_node(self) -> int:
        return 0
