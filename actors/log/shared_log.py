"""One partition's log for all loops of an actor: those at its end share a consumer.

An actor has one loop for aggregates and one or two per shard of profiles, each at a position of its
own. Normally all of them are at the end of the log, and with a consumer each, every record would be
fetched, checked and decoded once per loop. So the consumer of the first reader that reaches the end
reads for all readers there, who find what they lack among the last few thousand records. A reader
that is further behind reads by itself until it is at the end again.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable

from typing_extensions import override

from actors.errors import LogUnavailable
from actors.log.kafka_log import KafkaLog
from actors.log.ports import Log, LogState, Record
from actors.settings import ActorSettings
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import Settings


class SharedLog:
    """Readers of one partition, in one event loop."""

    def __init__(self, open_log: Callable[[], Log], *, kept_records: int) -> None:
        """Performs no I/O.

        Args:
            open_log: a consumer of the partition.
            kept_records: how far behind the others a reader may be and still share; at most twice
                as many are in memory, and what one fetch gives.
        """
        self.open_log = open_log
        self.kept_records = kept_records
        self.tail: Tail | None = None

    def reader(self) -> Log:
        """One more reader, with a position of its own."""
        return _Reader(self)

    def forget(self, tail: "Tail") -> None:
        """Let no more readers join ``tail``."""
        if self.tail is tail:
            self.tail = None


class Tail:
    """The end of the log: a consumer, and the last records that it has fetched."""

    def __init__(self, log: Log, topic_id: str, next_offset: int, kept_records: int) -> None:
        """Takes ownership of ``log``, which continues at ``next_offset``."""
        self.log = log
        self.readers: set[_Reader] = set()
        self.topic_id = topic_id
        self._kept_records = kept_records
        self._records: list[Record] = []
        self._first = self._next = next_offset
        self._fetching: asyncio.Task[None] | None = None

    def covers(self, topic_id: str, offset: int) -> bool:
        """Whether a reader of this topic can go on here at ``offset``."""
        return topic_id == self.topic_id and self._first <= offset <= self._next

    async def fetch(self, offset: int, max_records: int, timeout_s: float) -> list[Record] | None:
        """Records from ``offset`` on, maybe none yet; None if the tail has left ``offset`` behind.

        Raises:
            LogUnavailable: the consumer failed; every reader gets the same error.
        """
        if offset == self._next:
            if self._fetching is None:
                self._fetching = asyncio.create_task(self._fetch(max_records, timeout_s))
            fetching = self._fetching
            # It outlives a reader that is cancelled: what it fetches is for the others as well.
            await asyncio.wait((fetching,), timeout=timeout_s)
            if fetching.done():
                fetching.result()
        if offset < self._first:
            return None
        at = bisect_left(self._records, offset, key=lambda record: record.offset)
        return self._records[at : at + max_records]

    async def close(self) -> None:
        """Never raises."""
        try:
            if self._fetching is not None:
                self._fetching.cancel()
                await asyncio.gather(self._fetching, return_exceptions=True)
        finally:
            # Even if this is cancelled: nothing else refers to the consumer.
            await self.log.close()

    async def _fetch(self, max_records: int, timeout_s: float) -> None:
        records = await self.log.fetch(max_records, timeout_s)
        # The error is kept: the consumer ended with it.
        self._fetching = None
        if not records:
            return
        self._records += records
        self._next = records[-1].offset + 1
        if len(self._records) > 2 * self._kept_records:
            self._records = self._records[-self._kept_records :]
            self._first = self._records[0].offset


class _Reader(Log):
    """A ``Log`` that follows the tail where it can, and has a consumer of its own elsewhere."""

    def __init__(self, shared: SharedLog) -> None:
        self._shared = shared
        self._own: Log | None = None
        self._tail: Tail | None = None
        self._topic_id = ""
        self._next = 0

    @override
    async def state(self) -> LogState:
        if self._tail is not None:
            log = self._tail.log
        else:
            log = self._own = self._own or self._shared.open_log()
        state = await log.state()
        self._topic_id = state.topic_id
        return state

    @override
    async def seek(self, offset: int) -> None:
        self._next = offset
        if not await self._join() and self._own is not None:
            await self._own.seek(offset)

    @override
    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        if self._tail is not None:
            records = await self._follow(self._tail, max_records, timeout_s)
            if records is not None:
                return records
        own = self._own or await self._alone()
        records = self._passed(await own.fetch(max_records, timeout_s))
        if len(records) < max_records and not await self._join():
            self._lead()
        return records

    @override
    async def close(self) -> None:
        self._topic_id = ""
        await self._leave()
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    async def _alone(self) -> Log:
        """Go on where the tail does not have what comes next."""
        topic_id = self._topic_id
        if not topic_id:
            raise LogUnavailable("not connected to Kafka")
        self._own = own = self._shared.open_log()
        if (await self.state()).topic_id != topic_id:
            raise LogUnavailable("the topic was replaced")
        await own.seek(self._next)
        return own

    async def _follow(self, tail: Tail, max_records: int, timeout_s: float) -> list[Record] | None:
        try:
            records = await tail.fetch(self._next, max_records, timeout_s)
        except LogUnavailable:
            self._shared.forget(tail)
            await self._leave()
            raise
        if records is None:
            await self._leave()
            return None
        return self._passed(records)

    def _passed(self, records: list[Record]) -> list[Record]:
        if records:
            self._next = records[-1].offset + 1
        return records

    async def _join(self) -> bool:
        """Follow the tail if it has what comes next; whether it does."""
        tail = self._shared.tail
        if tail is None or not tail.covers(self._topic_id, self._next):
            await self._leave()
            return False
        if self._tail is not tail:
            await self._leave()
            self._tail = tail
            tail.readers.add(self)
        own, self._own = self._own, None
        if own is not None:
            await own.close()
        return True

    def _lead(self) -> None:
        """Become the tail, at the end of the log, unless there is one, which will get here soon."""
        tail = self._shared.tail
        if self._own is None or (tail is not None and tail.topic_id == self._topic_id):
            return
        own, self._own = self._own, None
        self._tail = Tail(own, self._topic_id, self._next, self._shared.kept_records)
        self._tail.readers.add(self)
        self._shared.tail = self._tail

    async def _leave(self) -> None:
        tail, self._tail = self._tail, None
        if tail is None:
            return
        tail.readers.discard(self)
        if not tail.readers:
            self._shared.forget(tail)
            await tail.close()


def shared_log(partition: int, *, stores: Settings, settings: ActorSettings) -> SharedLog:
    """The log of tags as the loops of an actor read it."""
    return SharedLog(
        lambda: KafkaLog(USER_TAGS_TOPIC, partition, stores=stores, settings=settings),
        kept_records=settings.shared_records,
    )
