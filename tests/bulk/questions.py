"""Times aggregate queries of every combination of filters, made as in a replica."""

import itertools
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from serve_app.core.clock import SystemClock
from serve_app.core.deadline import Deadline
from serve_app.core.query import FILTERS, MAX_RANGE_MINUTES, AggregateQuery
from serve_app.core.settings import Settings
from serve_app.freshness import FreshAggregates
from serve_app.stores.aggregates import Aggregates
from serve_app.stores.database import create_engine
from serve_app.stores.log_ends import LogEnds
from tests.bulk.hours import MINUTE_TAGS, hour_codes
from tests.webpanel import catalogue as shop
from tests.webpanel.stream import origin_of, product_of

GOAL_MS: Final = {0: 10.0, 1: 10.0, 2: 25.0, 3: 25.0}
"""Bound of p99 (ms) by the number of filters."""
RANGES: Final = 5


@dataclass(frozen=True, slots=True)
class Filters:
    """``popular``: by the most frequent values, otherwise by rare ones."""

    values: tuple[tuple[str, str], ...]
    popular: bool

    def __str__(self) -> str:
        """For example ``brand_id, category_id (rare)``."""
        names = ", ".join(name for name, _ in self.values) or "none"
        return names if self.popular or not self.values else f"{names} (rare)"


class Times(msgspec.Struct):
    """Times of one combination of filters."""

    filters: str
    goal_ms: float
    p50_ms: float
    p99_ms: float

    @property
    def reached(self) -> bool:
        """Whether p99 is within its bound."""
        return self.p99_ms <= self.goal_ms


@lru_cache(maxsize=1)
def combinations() -> Sequence[Filters]:
    """All combinations of filters, with the most popular values and with rare ones."""
    found = [Filters((), popular=True)]
    # A minute of the stream is enough to rank values and their combinations.
    tags = []
    for _, code in hour_codes(0, 0, MINUTE_TAGS):
        product = product_of(code)
        brand, category = shop.PRODUCT_BRAND[product], shop.PRODUCT_CATEGORY[product]
        tags.append((shop.ORIGINS[origin_of(code)], shop.BRANDS[brand], shop.CATEGORIES[category]))
    for size in (1, 2, 3):
        for columns in itertools.combinations(range(len(FILTERS)), size):
            ranked = Counter(tuple(tag[at] for at in columns) for tag in tags).most_common()
            for popular, (values, _) in ((True, ranked[0]), (False, ranked[-1])):
                names = (FILTERS[at] for at in columns)
                found.append(Filters(tuple(zip(names, values, strict=True)), popular))
    return found


@asynccontextmanager
async def fresh_aggregates(stores: Settings) -> AsyncIterator[FreshAggregates]:
    """A replica's reader of aggregates, connected."""
    engine, ends = create_engine(stores, pool_size=4), LogEnds(stores)
    ends.start()
    try:
        await ends.wait_ready()
        yield FreshAggregates(Aggregates(engine), ends, promise_s=stores.aggregate_promise_s)
    finally:
        await ends.stop()
        await engine.dispose()


async def measure(fresh: FreshAggregates, filters: Filters, minutes: range, repeats: int) -> Times:
    """SQL and row filling of ten-minute ranges in ``minutes``, warm."""
    last = max(minutes.start, minutes.stop - MAX_RANGE_MINUTES)
    starts = sorted({minutes.start + (last - minutes.start) * n // RANGES for n in range(RANGES)})
    queries = [
        AggregateQuery(
            start,
            min(start + MAX_RANGE_MINUTES, minutes.stop),
            "VIEW",
            ("COUNT", "SUM_PRICE"),
            filters.values,
        )
        for start in starts
    ]
    for query in queries:
        await fresh.answer(query, Deadline.after(55, SystemClock()))
    times_ms = []
    for query in itertools.islice(itertools.cycle(queries), repeats):
        started_s = time.perf_counter()
        await fresh.answer(query, Deadline.after(55, SystemClock()))
        times_ms.append((time.perf_counter() - started_s) * 1000)
    quantiles = statistics.quantiles(times_ms, n=100, method="inclusive")
    goal_ms = GOAL_MS[len(filters.values)]
    return Times(str(filters), goal_ms, round(quantiles[49], 2), round(quantiles[98], 2))


async def measure_all(stores: Settings, minutes: range, repeats: int) -> list[Times]:
    """Measure all combinations; raises when the tables are behind the log."""
    async with fresh_aggregates(stores) as fresh:
        return [await measure(fresh, one, minutes, repeats) for one in combinations()]
