"""Several readers of one partition: each gets every record from where it seeks, once, in order."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.errors import LogUnavailable
from actors.log.ports import Log, LogState, Record
from actors.log.shared_log import SharedLog

KEPT = 20


@dataclass
class Partition:
    """What Kafka has of it, and the consumers that are connected to it."""

    topic_id: str = "a"
    end: int = 0
    open: int = 0
    fail: int = 0
    """So many of the next calls fail."""
    fetches: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def append(self, count: int) -> None:
        self.end += count
        self.more.set()
        self.more.clear()

    def record(self, offset: int) -> Record:
        return Record(offset, f"{self.topic_id}{offset}".encode())


class Consumer:
    """One of them, as ``KafkaLog`` behaves: after an error it has to be asked for the state."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._next: int | None = None
        self._connected = False
        self._connecting = asyncio.Lock()

    async def state(self) -> LogState:
        async with self._connecting:
            if not self._connected:
                await asyncio.sleep(0)
                self._connected = True
                self._partition.open += 1
        self._check()
        return LogState(self._partition.topic_id, 0, self._partition.end)

    async def seek(self, offset: int) -> None:
        if not self._connected:
            raise LogUnavailable("not connected")
        self._next = offset

    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        self._check()
        if self._next is None or not self._connected:
            raise LogUnavailable("not connected")
        self._partition.fetches += 1
        if self._next >= self._partition.end:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._partition.more.wait()
            except TimeoutError:
                return []
        last = min(self._partition.end, self._next + max_records)
        records = [self._partition.record(offset) for offset in range(self._next, last)]
        self._next = last
        return records

    async def close(self) -> None:
        if self._connected:
            self._connected = False
            self._partition.open -= 1

    def _check(self) -> None:
        if self._partition.fail:
            self._partition.fail -= 1
            if self._connected:
                self._connected = False
                self._partition.open -= 1
            raise LogUnavailable("Kafka is away")


class Loop:
    """What the actors' loops do with a reader."""

    def __init__(self, reader: Log) -> None:
        self.reader = reader
        self.next = 0
        self.topic_id = ""
        self.resumed = False

    async def resume(self, at: int) -> None:
        self.resumed = False
        state = await self.reader.state()
        self.topic_id = state.topic_id
        self.next = min(at, state.end)
        await self.reader.seek(self.next)
        self.resumed = True

    async def step(self, max_records: int) -> None:
        try:
            if not self.resumed:
                await self.resume(self.next)
            records = await self.reader.fetch(max_records, 0.001)
        except LogUnavailable:
            self.resumed = False
            return
        assert len(records) <= max_records
        for record in records:
            assert record.offset == self.next
            assert record.value == f"{self.topic_id}{record.offset}".encode()
            self.next += 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 50)),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 30)),
        st.tuples(st.just("together"), st.integers(1, 30)),
        st.tuples(st.just("seek"), st.integers(0, 2), st.integers(0, 60)),
        st.tuples(st.just("fail"), st.integers(1, 4)),
        st.tuples(st.just("close"), st.integers(0, 2)),
        st.tuples(st.just("cancel"), st.integers(0, 2)),
        st.tuples(st.just("replace"), st.integers(0, 90)),
    ),
    max_size=40,
)


@given(STEPS)
# Records of the former topic are there for a reader that has just been told of the new one.
@example(
    [*[("together", 30)] * 3, ("append", 10), ("read", 0, 30), ("replace", 60), ("read", 1, 5)]
)
def test_every_reader_gets_every_record_once_and_in_order(steps: list[tuple[Any, ...]]) -> None:
    unheard: list[dict[str, Any]] = []

    async def run() -> None:
        # An error of a task that nobody asked for.
        asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))
        partition = Partition(end=30)
        shared = SharedLog(lambda: Consumer(partition), kept_records=KEPT)
        loops = [Loop(shared.reader()) for _ in range(3)]
        for name, *arguments in steps:
            if name == "append":
                partition.append(arguments[0])
            elif name == "read":
                await loops[arguments[0]].step(arguments[1])
            elif name == "together":
                await asyncio.gather(*(loop.step(arguments[0]) for loop in loops))
            elif name == "seek":
                try:
                    await loops[arguments[0]].resume(min(arguments[1], partition.end))
                except LogUnavailable:
                    loops[arguments[0]].resumed = False
            elif name == "fail":
                partition.fail = arguments[0]
            elif name == "close":
                loops[arguments[0]].resumed = False
                await loops[arguments[0]].reader.close()
            elif name == "cancel":
                step = asyncio.create_task(loops[arguments[0]].step(10))
                await asyncio.sleep(0)
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
            else:
                # Everybody's records are of the new topic once they have asked for the state.
                partition.topic_id += "a"
                partition.end = arguments[0]
                for loop in loops:
                    loop.resumed = False
        partition.fail = 0
        for _ in range(200):
            if all(loop.next == partition.end and loop.resumed for loop in loops):
                break
            await asyncio.gather(*(loop.step(10) for loop in loops))
        assert [loop.next for loop in loops] == [partition.end] * 3
        for loop in loops:
            await loop.reader.close()
        assert partition.open == 0

    asyncio.run(run())
    assert not unheard


async def at_the_end(shared: SharedLog, count: int) -> list[Loop]:
    loops = [Loop(shared.reader()) for _ in range(count)]
    for loop in loops:
        while loop.next < 30:
            await loop.step(50)
    return loops


async def test_readers_at_the_end_share_one_consumer_and_its_fetches() -> None:
    partition = Partition(end=30)
    shared = SharedLog(lambda: Consumer(partition), kept_records=KEPT)
    loops = await at_the_end(shared, 4)
    assert partition.open == 1

    before = partition.fetches
    waiting = asyncio.gather(*(loop.step(50) for loop in loops))
    await asyncio.sleep(0)
    partition.append(5)
    await waiting
    assert partition.fetches == before + 1
    for loop in loops:
        await loop.step(50)
    assert {loop.next for loop in loops} == {35}


async def test_one_that_falls_behind_reads_by_itself_until_it_is_back() -> None:
    partition = Partition(end=30)
    shared = SharedLog(lambda: Consumer(partition), kept_records=KEPT)
    slow, *others = await at_the_end(shared, 3)

    for _ in range(20):
        partition.append(10)
        for loop in others:
            await loop.step(50)
    assert partition.open == 1
    await slow.step(10)
    assert partition.open == 2
    while slow.next < partition.end:
        await slow.step(50)
    assert partition.open == 1


async def test_an_error_is_told_to_all_and_they_share_again() -> None:
    partition = Partition(end=30)
    shared = SharedLog(lambda: Consumer(partition), kept_records=KEPT)
    loops = await at_the_end(shared, 3)

    partition.fail = 1
    await asyncio.gather(*(loop.step(50) for loop in loops))
    assert [loop.resumed for loop in loops] == [False] * 3
    partition.append(5)
    while any(loop.next < 35 for loop in loops):
        await asyncio.gather(*(loop.step(50) for loop in loops))
    for loop in loops:
        await loop.step(50)
    assert partition.open == 1


async def test_a_close_that_is_cancelled_leaves_no_consumer_behind() -> None:
    partition = Partition(end=30)
    shared = SharedLog(lambda: Consumer(partition), kept_records=KEPT)
    (loop,) = await at_the_end(shared, 1)
    await loop.reader.fetch(50, 0.001)
    fetching = asyncio.create_task(loop.reader.fetch(50, 60))
    await asyncio.sleep(0)
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
    closing = asyncio.create_task(loop.reader.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert partition.open == 0


async def test_a_reader_that_was_never_asked_for_the_state_is_not_connected() -> None:
    shared = SharedLog(lambda: Consumer(Partition()), kept_records=KEPT)
    with pytest.raises(LogUnavailable, match="not connected"):
        await shared.reader().fetch(1, 0.001)
