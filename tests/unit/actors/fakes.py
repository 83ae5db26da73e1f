"""A log, a sink, dead letters and a clock in memory; time passes only when somebody waits."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence

from actors.aggregates.batch import Batch
from actors.aggregates.counting import PartitionActor
from actors.aggregates.ports import FlushReport, Position
from actors.errors import Conflict, DeadLettersUnavailable, LogUnavailable, SinkUnavailable
from actors.log.ports import DeadLetter, LogState, Record
from actors.settings import ActorSettings

TOPIC_ID = "ab" * 16


def tag_json(
    time: str = "2022-03-01T00:00:01.500Z",
    *,
    cookie: str = "c",
    action: str = "VIEW",
    origin: str = "o",
    brand: str = "b",
    category: str = "k",
    price: int = 7,
) -> bytes:
    """The body of a user tag."""
    return json.dumps(
        {
            "time": time,
            "cookie": cookie,
            "country": "PL",
            "device": "PC",
            "action": action,
            "origin": origin,
            "product_info": {
                "product_id": 1,
                "brand_id": brand,
                "category_id": category,
                "price": price,
            },
        }
    ).encode()


class FakeClock:
    """Moves on by what is slept."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


class FakeLog:
    """Values at offsets from ``begin`` on."""

    def __init__(self, clock: FakeClock, values: Sequence[bytes | None] = (), begin: int = 0):
        self.clock = clock
        self.topic_id = TOPIC_ID
        self.begin = begin
        self.values = list(values)
        self.at = 0
        self.away = False
        self.silent = False
        """Hands nothing over until it is closed, as a client that lost its partition."""
        self.fetches = 0

    @property
    def end(self) -> int:
        return self.begin + len(self.values)

    async def state(self) -> LogState:
        await asyncio.sleep(0)
        if self.away:
            raise LogUnavailable("Kafka is away")
        return LogState(self.topic_id, self.begin, self.end)

    async def seek(self, offset: int) -> None:
        self.at = offset

    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        self.fetches += 1
        if self.silent:
            await self.clock.sleep(timeout_s)
            return []
        first = self.at - self.begin
        records = [
            Record(self.at + number, value)
            for number, value in enumerate(self.values[first : first + max_records])
        ]
        self.at += len(records)
        await self.clock.sleep(0.0 if records else timeout_s)
        return records

    async def close(self) -> None:
        self.silent = False


class FakeSink:
    """Counts in memory. ``faults`` are taken one a flush: "before", "after", "conflict" or ""."""

    def __init__(self) -> None:
        self.stored: Position | None = None
        self.counts: Counter[tuple[object, ...]] = Counter()
        self.sums: Counter[tuple[object, ...]] = Counter()
        self.faults: list[str] = []
        self.flushes: list[tuple[int, int]] = []
        self.before_flush: Callable[[], None] = lambda: None

    async def position(self) -> Position | None:
        await asyncio.sleep(0)
        return self.stored

    async def claim(self, first: Position) -> Position:
        self.stored = self.stored or first
        return self.stored

    async def flush(self, batch: Batch, old: Position, new: Position) -> FlushReport:
        await asyncio.sleep(0)
        self.before_flush()
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise SinkUnavailable("lost before the commit")
        if self.stored != old or fault == "conflict":
            raise Conflict("not where it was")
        self.stored = new
        self.flushes.append((old.next_offset, new.next_offset))
        for key, (count, total) in batch.full.items():
            self.counts[key] += count
            self.sums[key] += total
        if fault == "after":
            raise SinkUnavailable("the answer to the commit was lost")
        return FlushReport(batch.rows)

    async def close(self) -> None:
        pass


class FakeDeadLetters:
    """Keeps them."""

    def __init__(self) -> None:
        self.kept: list[DeadLetter] = []
        self.away = False

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        if self.away:
            raise DeadLettersUnavailable("dead letters are away")
        self.kept += letters

    async def close(self) -> None:
        pass


class Bench:
    """A partition actor with everything around it faked."""

    def __init__(self, values: Sequence[bytes | None] = (), begin: int = 0, **settings: object):
        self.clock = FakeClock()
        self.log = FakeLog(self.clock, values, begin)
        self.sink = FakeSink()
        self.letters = FakeDeadLetters()
        self.actor = PartitionActor(
            0,
            log=self.log,
            sink=self.sink,
            dead_letters=self.letters,
            clock=self.clock,
            settings=ActorSettings(**settings),
        )

    async def run_until(self, reached: Callable[[], bool], steps: int = 20_000) -> None:
        """Run the actor until the condition holds; fails if it never does."""
        task = asyncio.create_task(self.actor.run())
        try:
            for _ in range(steps):
                if reached():
                    return
                if task.done():
                    task.result()
                await asyncio.sleep(0)
            raise AssertionError(f"never reached; status {self.actor.status}")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def all_stored(self) -> bool:
        """Whether everything in the log is counted."""
        return self.sink.stored is not None and self.sink.stored.next_offset == self.log.end
