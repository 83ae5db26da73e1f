"""A partition actor with a log, a sink, dead letters and a clock in memory.

Time passes only while something waits.
"""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from actors.aggregates.batch import Batch
from actors.aggregates.counting import PartitionActor
from actors.aggregates.ports import FlushReport, Position
from actors.errors import Conflict, DeadLettersUnavailable, SinkUnavailable
from actors.log.ports import DeadLetter
from actors.settings import ActorSettings
from tests.fakes.clock import FakeClock
from tests.fakes.log import MemoryLog


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


class FakeSink:
    """Counts in memory. Each flush takes one of ``faults``: "before", "after", "conflict", ""."""

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

    def __init__(self, values: Sequence[bytes | None] = (), begin: int = 0, **settings: Any):
        self.clock = FakeClock()
        # The time-out in one step: nothing is appended while the clock stands still.
        self.log = MemoryLog(begin, self.clock, poll_s=math.inf)
        self.log.put(*values)
        self.reader = self.log.read()
        self.sink = FakeSink()
        self.letters = FakeDeadLetters()
        self.actor = PartitionActor(
            0,
            log=self.reader,
            sink=self.sink,
            dead_letters=self.letters,
            clock=self.clock,
            settings=ActorSettings(**settings),
            may_begin_late=begin > 0,
        )

    async def run_until(self, reached: Callable[[], bool], steps: int = 20_000) -> None:
        """Run the actor until the condition holds; fails if it does not."""
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

    @property
    def next_offset(self) -> int:
        """Stored next offset; the sink must have a position."""
        assert self.sink.stored is not None
        return self.sink.stored.next_offset

    def all_stored(self) -> bool:
        """Whether everything in the log is counted."""
        return self.sink.stored is not None and self.next_offset == self.log.end
