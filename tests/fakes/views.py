"""The two views and the log's ends, for the rules of freshness and for the path of a tag."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from serve_app.core.answer import ProfileAnswer
from serve_app.core.errors import StoreAway
from serve_app.core.position import Reached
from serve_app.core.query import AggregateQuery, ProfileQuery
from serve_app.stores.aggregates import Snapshot
from serve_app.stores.log_ends import Offsets, Sample
from serve_app.stores.profiles import Placed

MINUTE: Final = 27_434_880
TOPIC_ID: Final = "a" * 32
COOKIE: Final = "cookie"
"""The cookie of all queries."""


class FakeLogEnds:
    """Samples set by the test; ``take`` makes one when a caller waits."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self.samples = list(samples)
        self.take: Callable[[float], Sample | None] = lambda moment_s: None
        self.last_error = "nobody answers"
        self.waits: list[float] = []

    @property
    def newest(self) -> Sample | None:
        return self.samples[-1] if self.samples else None

    def oldest_since(self, moment_s: float) -> Sample | None:
        return next((s for s in self.samples if s.asked_s >= moment_s), None)

    async def wait_since(self, moment_s: float, timeout_s: float) -> Sample | None:
        if self.oldest_since(moment_s) is None:
            self.waits.append(timeout_s)
            taken = self.take(timeout_s)
            if taken is not None:
                self.samples.append(taken)
        return self.oldest_since(moment_s)


class FakeAggregates:
    """The tables' position, and their sums for `MINUTE`."""

    def __init__(self, counted: Offsets) -> None:
        self.counted = counted
        self.topic_ids = frozenset({TOPIC_ID})
        self.first_kept_minute = 0
        self.capped: frozenset[str] = frozenset()
        self.reads = 0
        self.error: StoreAway | None = None
        self.timeouts_s: list[float] = []

    async def snapshot(self, query: AggregateQuery, timeout_s: float) -> Snapshot:
        self.reads += 1
        self.timeouts_s.append(timeout_s)
        if self.error is not None:
            raise self.error
        sums = {MINUTE: (sum(self.counted.values()), 0)}
        return Snapshot(
            sums=sums,
            counted=self.counted,
            topic_ids=self.topic_ids,
            first_kept_minute=self.first_kept_minute,
            capped=self.capped,
        )


class FakeProfiles:
    """The position of each cookie's shard, and written tags; fails or waits on demand.

    A read returns the number of reads so far.
    """

    def __init__(
        self, offsets: Offsets | None = None, on_write: Callable[[list[str]], None] | None = None
    ) -> None:
        """``on_write`` is called with the cookies of each successful write."""
        self.offsets: Offsets = offsets or {}
        self.topic_ids = frozenset({TOPIC_ID})
        self.lost = ""
        self.error: Exception | None = None
        """Raised by reads and writes."""
        self.in_trouble_s = -math.inf
        self.reads = 0
        self.refreshes: list[float] = []
        self.open = asyncio.Event()
        """Writes wait until it is set."""
        self.open.set()
        self.placed: list[Placed] = []
        self.before_write: Callable[[], None] = lambda: None
        self._on_write = on_write

    async def read(self, query: ProfileQuery) -> tuple[Reached, ProfileAnswer]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        reached = Reached(self.topic_ids, self.offsets, self.lost)
        return reached, ProfileAnswer(f"{query.cookie} {self.reads}", (), ())

    async def refresh(self, timeout_s: float) -> None:
        self.refreshes.append(timeout_s)

    def trouble_s(self, cookie: str) -> float:
        assert cookie == COOKIE
        return self.in_trouble_s

    async def write(self, tags: Sequence[Placed]) -> None:
        self.before_write()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.placed += tags
        if self._on_write is not None:
            self._on_write([placed.tag.cookie for placed in tags])
