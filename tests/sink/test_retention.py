"""The last day of event time is answered correctly while hours are dropped."""

import asyncio
import json
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import lru_cache

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.aggregates.database import error_number
from actors.aggregates.ports import Position
from serve_app.core.answer import fill_rows
from serve_app.core.errors import RuleBroken
from serve_app.core.query import AggregateQuery
from serve_app.freshness import check_answerable
from serve_app.stores.aggregates import Aggregates
from serve_app.stores.database import create_engine
from tests.marks import second_tier
from tests.oracle import EPOCH, Oracle, milliseconds
from tests.sink.faults import before_statement
from tests.sink.harness import Harness, Running
from tests.sink.stream import expected
from tests.tags import new_tag

pytestmark = pytest.mark.asyncio

DAY = 24
PER_HOUR = 120
FIRST_HOUR = milliseconds("2022-03-01T00:00:00") // 3_600_000
FAR = "9999-12-31T23:59:59.999Z"
TABLES = ("aggregates", "rollups")
BOUND = "UPDATE partition_offsets SET first_kept_hour"


def text_of(time_ms: int) -> str:
    """``2022-03-01T00:00:01.500Z``."""
    return (EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@lru_cache(maxsize=200_000)
def tag_at(time: str, number: int = 0) -> bytes:
    rng = random.Random(f"{time} {number}")
    return json.dumps(
        new_tag(
            "c",
            time,
            action=rng.choice(["VIEW", "BUY"]),
            origin=f"o{rng.randrange(3)}",
            brand_id=f"b{rng.randrange(3)}",
            category_id=f"k{rng.randrange(3)}",
            price=rng.randrange(1_000),
        )
    ).encode()


def hour_of(hour: int, tags: int = PER_HOUR) -> list[bytes]:
    """Evenly over the ``hour``-th hour; its first moment and its last are among them."""
    start, step = (FIRST_HOUR + hour) * 3_600_000, 3_599_999 / (tags - 1)
    return [tag_at(text_of(start + round(step * number)), number) for number in range(tags)]


def hours(start: int, end: int) -> list[bytes]:
    return [body for hour in range(start, end) for body in hour_of(hour)]


def event_hour(body: bytes) -> int:
    return milliseconds(json.loads(body)["time"]) // 3_600_000 - FIRST_HOUR


@pytest.fixture
def small(harness: Harness) -> Harness:
    """Settings for streams of few tags, with partitions for all their hours."""
    harness.settings = harness.settings.model_copy(
        update={
            "hour_min_tags": 40,
            "retention_min_tags": 40,
            "hours_ahead": 40,
            "flush_rows": 2_000,
            "statement_rows": 1_000,
        }
    )
    return harness


@asynccontextmanager
async def reading(harness: Harness) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(harness.stores)
    try:
        yield engine
    finally:
        await engine.dispose()


async def ask(engine: AsyncEngine, start_ms: int, minutes: int, action: str = "VIEW") -> object:
    """The answer's rows, as a replica makes them once all is counted.

    Raises RuleBroken for a range that is no longer kept.
    """
    first = start_ms // 60_000
    query = AggregateQuery(first, first + minutes, action, ("COUNT", "SUM_PRICE"))
    snapshot = await Aggregates(engine).snapshot(query, 10)
    check_answerable(query, snapshot)
    return json.loads(msgspec.json.encode(fill_rows(query, snapshot.sums)))["rows"]


def first_kept(harness: Harness) -> int:
    """Hours after the first."""
    rows = harness.query("SELECT MAX(first_kept_hour) FROM partition_offsets")
    return int(str(rows[0][0] or 0)) - FIRST_HOUR


def partition_hours(harness: Harness, table: str) -> list[int]:
    """Last hour of each partition except the catch-all."""
    return [int(name[1:]) - FIRST_HOUR for name in harness.table_partitions(table)[:-1]]


def dropped(harness: Harness, hour: int) -> bool:
    """Whether everything before ``hour`` is dropped from both tables."""
    return all(min(partition_hours(harness, table), default=-1) >= hour for table in TABLES)


async def count(harness: Harness, running: Running, start: int, end: int) -> None:
    """Send hours in order, the first one alone so that partitions exist for the rest."""
    if start == 0:
        await harness.send_bodies(hour_of(0))
        await running.until(lambda: all(partition_hours(harness, table) for table in TABLES))
        start = 1
    for hour in range(start, end, 3):
        await harness.send_bodies(hours(hour, min(hour + 3, end)))
    await running.until_done()


def kept_of(harness: Harness, bodies: Iterable[bytes]) -> list[bytes]:
    first = first_kept(harness)
    return [body for body in bodies if event_hour(body) >= first]


def assert_kept_are_exact(harness: Harness) -> None:
    """Every kept tag is counted once, wherever the bound is now."""
    assert harness.offset() == len(harness.sent)
    first_minute = (first_kept(harness) + FIRST_HOUR) * 60
    for table, wanted in zip(harness.tables(), expected(harness.sent), strict=True):
        kept, right = (
            {key: row for key, row in rows.items() if int(str(key[0])) >= first_minute}
            for rows in (table, wanted)
        )
        assert kept == right


async def test_the_day_ends_exactly_where_it_should(small: Harness) -> None:
    async with reading(small) as engine, Running(small) as running:
        await count(small, running, 0, 30)
        # 3,600 tags: a tenth of them have reached hour 27.
        await running.until(lambda: first_kept(small) == 27 - DAY)
        await running.until(lambda: dropped(small, 27 - DAY))
        small.assert_exact(kept_of(small, small.sent))
        oracle = Oracle(map(json.loads, small.sent))
        kept_ms = (FIRST_HOUR + 3) * 3_600_000
        newest_ms = (FIRST_HOUR + 30) * 3_600_000 - 1
        day_ms = newest_ms - DAY * 3_600_000
        for start_ms in (kept_ms, kept_ms + 60_000, day_ms, day_ms + 60_000, newest_ms - 540_000):
            start_ms -= start_ms % 60_000
            for action in ("VIEW", "BUY"):
                time_range = f"{text_of(start_ms)[:19]}_{text_of(start_ms + 600_000)[:19]}"
                right = oracle.aggregates(time_range, action, ["COUNT", "SUM_PRICE"])["rows"]
                assert any(row[-2] != "0" for row in right)
                assert await ask(engine, start_ms, 10, action) == right
        for start_ms in (kept_ms - 60_000, kept_ms - 540_000, kept_ms - 3_600_000, 0):
            with pytest.raises(RuleBroken, match=r"nothing before 2022-03-01T03:00:00 is kept"):
                await ask(engine, start_ms, 10)


@second_tier
async def test_late_tags_count_inside_of_the_day_only(small: Harness) -> None:
    async with Running(small) as running:
        await count(small, running, 0, 30)
        await running.until(lambda: dropped(small, 3))
        inside = [tag_at(text_of((FIRST_HOUR + 3) * 3_600_000 + ms), ms) for ms in (0, 1, 60_000)]
        before = [tag_at(text_of((FIRST_HOUR + 3) * 3_600_000 - ms), ms) for ms in (1, 10**7)]
        before.append(tag_at("1970-01-01T00:00:00Z"))
        early = running.actor.status.late
        await small.send_bodies([*before[:1], *inside, *before[1:]])
        await running.until_done()
        await running.until(lambda: running.actor.status.late == early + 3)
        assert running.actor.status.tags + running.actor.status.late == len(small.sent)
    small.assert_exact(kept_of(small, small.sent))
    # A batch of only late tags moves the offset, and does nothing else.
    tables = small.tables()
    async with Running(small) as running:
        await small.send_bodies(before)
        await running.until_done()
        await running.until(lambda: running.actor.status.late == 3)
        assert running.actor.status.tags == 0
    assert small.tables() == tables


@second_tier
async def test_a_bound_that_moves_under_a_flush_decides_again(small: Harness) -> None:
    """The bound moves after the sink has selected rows; it must apply the new bound."""
    async with Running(small) as running:
        await count(small, running, 0, 2)
        moved: list[int] = []

        def move() -> None:
            if not moved:
                moved.append(1)
                small.query(f"{BOUND} = {FIRST_HOUR + 1}")

        before_statement(running.sink._database, "UPDATE partition_offsets", move)
        await small.send_bodies([*hour_of(0, 50), *hour_of(1, 70)])
        await running.until_done()
        await running.until(lambda: running.actor.status.late == 50)
        assert (running.actor.status.conflicts, moved) == (0, [1])
        await running.until(lambda: dropped(small, 1))
    small.assert_exact(kept_of(small, small.sent))


@second_tier
async def test_twins_drop_while_writes_and_reads_go_on(small: Harness) -> None:
    answers = {"right": 0, "refused": 0}

    async def read(engine: AsyncEngine, rng: random.Random) -> None:
        while True:
            hour = rng.randrange(-1, 34)
            start = (FIRST_HOUR + hour) * 60 + rng.choice([0, 50, 55, rng.randrange(50)])
            query = AggregateQuery(start, start + 10, "VIEW", ("COUNT", "SUM_PRICE"))
            try:
                snapshot = await Aggregates(engine).snapshot(query, 10)
            except DBAPIError as error:
                # "Table definition has changed, please retry": a replica asks again.
                if error_number(error) != 1412:
                    raise
                continue
            counted = small.sent[: snapshot.counted.get(0, 0)]
            if query.from_minute < snapshot.first_kept_minute:
                newest = max(map(event_hour, counted))
                assert query.from_minute < (FIRST_HOUR + newest - DAY) * 60
                answers["refused"] += 1
            else:
                assert snapshot.sums == sums_of(counted, query)
                answers["right"] += 1
            await asyncio.sleep(0.01)

    async with reading(small) as engine, Running(small) as one, Running(small) as other:
        await small.send_bodies(hour_of(0))
        await one.until(lambda: all(partition_hours(small, table) for table in TABLES))
        readers = [asyncio.create_task(read(engine, random.Random(seed))) for seed in range(2)]
        for hour in range(1, 34):
            await small.send_bodies(hour_of(hour))
            await asyncio.sleep(0.1)
        await one.until_done()
        await one.until(lambda: first_kept(small) >= 30 - DAY and dropped(small, first_kept(small)))
        # They query random hours, until both kinds of answer were frequent enough.
        await one.until(lambda: min(answers.values()) > 5 or any(map(asyncio.Task.done, readers)))
        for reader in readers:
            assert not reader.done(), reader.exception()
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        late = one.actor.status.late + other.actor.status.late
    assert late == 0
    assert min(answers.values()) > 5, answers
    assert_kept_are_exact(small)


_parsed: dict[bytes, tuple[int, str, int]] = {}


def sums_of(bodies: Sequence[bytes], query: AggregateQuery) -> dict[int, tuple[int, int]]:
    """(count, sum) by minute, summed tag by tag."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for body in bodies:
        if body not in _parsed:
            tag = json.loads(body)
            minute = milliseconds(tag["time"]) // 60_000
            _parsed[body] = (minute, tag["action"], tag["product_info"]["price"])
        minute, action, price = _parsed[body]
        if action == query.action and query.from_minute <= minute < query.to_minute:
            sums[minute][0] += 1
            sums[minute][1] += price
    return {minute: (number, total) for minute, (number, total) in sums.items()}


@second_tier
async def test_killed_between_any_two_steps_of_a_drop(small: Harness) -> None:
    async with Running(small) as running:
        await count(small, running, 0, 27)
    assert first_kept(small) <= 0
    await small.send_bodies(hours(27, 34))
    async with reading(small) as engine:
        for step in (BOUND, "ALTER TABLE aggregates DROP", "ALTER TABLE rollups DROP"):
            with small.child(kill=step) as child:
                assert await asyncio.to_thread(child.wait, 30) == -signal.SIGKILL
            # Nothing that must be kept is gone.
            for hour in (10, 20):
                start = (FIRST_HOUR + hour) * 60
                query = AggregateQuery(start, start + 10, "VIEW", ("COUNT",))
                assert (await Aggregates(engine).snapshot(query, 10)).sums == sums_of(
                    small.sent, query
                )
        # Dropped from one of the tables and not from the other: refused.
        assert partition_hours(small, "aggregates")[0] != partition_hours(small, "rollups")[0]
        with pytest.raises(RuleBroken):
            await ask(engine, FIRST_HOUR * 3_600_000, 10)
        # The successor finishes the work, even without new tags.
        async with Running(small) as running:
            await running.until_done()
            await running.until(lambda: first_kept(small) >= 30 - DAY)
            await running.until(lambda: dropped(small, first_kept(small)))
    assert_kept_are_exact(small)


@pytest.mark.parametrize(("wrong", "times"), [(1, 1), (1_000, 1), (1_000, 1_000), (100_000, 1)])
@second_tier
async def test_wrong_dates_make_nothing_disappear(small: Harness, wrong: int, times: int) -> None:
    """Tags dated far ahead, with one date or different ones, within a normal stream."""
    start_ms = milliseconds("2099-01-01T00:00:00")
    dates = [text_of(start_ms + number * 36_000_000) for number in range(times - 1)] + [FAR]
    junk = [tag_at(dates[number % times], number % 50) for number in range(wrong)]
    small.settings = small.settings.model_copy(update={"flush_rows": 20_000, "poll_records": 2_000})
    async with reading(small) as engine, Running(small) as running:
        await count(small, running, 0, 20)
        await small.send_bodies(junk[: wrong // 2])
        await count(small, running, 20, 30)
        await small.send_bodies(junk[wrong // 2 :])
        await count(small, running, 30, 34)
        await running.until_done()
        # At most as far as the day before the normal stream's newest tag.
        kept = first_kept(small)
        assert kept <= 33 - DAY
        assert running.actor.status.late == 0
        for hour in range(33 - DAY, 34, 4):
            start = (FIRST_HOUR + hour) * 60
            query = AggregateQuery(start, start + 10, "VIEW", ("COUNT", "SUM_PRICE"))
            snapshot = await Aggregates(engine).snapshot(query, 10)
            check_answerable(query, snapshot)
            assert snapshot.sums == sums_of(small.sent, query)
        # Wrongly dated tags are answered like any other.
        minute = milliseconds(FAR) // 60_000
        far = AggregateQuery(minute, minute + 1, "VIEW", ("COUNT", "SUM_PRICE"))
        assert (await Aggregates(engine).snapshot(far, 10)).sums == sums_of(small.sent, far)
        # Neither do they stop retention.
        await running.until(lambda: first_kept(small) >= 29 - DAY)
        assert len(small.table_partitions("rollups")) < 600
    assert_kept_are_exact(small)


@second_tier
async def test_a_restart_remembers_what_time_it_is(small: Harness) -> None:
    for start, end in ((0, 10), (10, 20), (20, 30)):
        async with Running(small) as running:
            await count(small, running, start, end)
    async with Running(small) as running:
        await running.until(lambda: first_kept(small) == 27 - DAY)
        await running.until(lambda: dropped(small, 27 - DAY))
    # Nor does a new actor on another partition.
    fifth = small.sink(5)
    await fifth.claim(Position("0" * 32, 0, None))
    await fifth.close()
    rows = small.query("SELECT first_kept_hour FROM partition_offsets")
    assert [int(str(row[0])) - FIRST_HOUR for row in rows] == [3, 3]


@second_tier
async def test_tags_dated_ahead_fade_with_the_hours_that_are_dropped(small: Harness) -> None:
    """In the row of each partition, once for each step of the bound; in no table."""
    ahead = [tag_at("2024-01-01T00:00:00Z", number) for number in range(100)]
    async with Running(small) as running:
        await small.send_bodies(ahead)
        await count(small, running, 0, 30)
        await running.until(lambda: dropped(small, 27 - DAY))
        await small.send_bodies(hour_of(29)[:1])
        await running.until_done()
    small.assert_exact(kept_of(small, small.sent))
    ((text,),) = small.query("SELECT hour_tags FROM partition_offsets WHERE kafka_partition = 0")
    tags = json.loads(str(text))
    (left,) = (number for hour, number in tags.items() if int(hour) > FIRST_HOUR + 100)
    # Three hours of thirty were dropped.
    assert 85 <= left <= 92
    assert tags[str(FIRST_HOUR + 10)] == PER_HOUR


@second_tier
async def test_late_tags_outweigh_those_dated_ahead(small: Harness) -> None:
    """As in the log that a rebuild begins with: of the right date is only what is late."""
    ahead = [
        tag_at(text_of((FIRST_HOUR + 9_000 + hour) * 3_600_000), number)
        for hour in range(26)
        for number in range(2)
    ]
    async with Running(small) as running:
        await small.send_bodies(hour_of(50)[:1])
        await running.until_done()
        small.query(f"UPDATE partition_offsets SET first_kept_hour = {FIRST_HOUR + 40}")
        await small.send_bodies([*hours(0, 10), *ahead])
        await running.until_done()
        await running.until(lambda: running.actor.status.late == 10 * PER_HOUR)
        keeper = small.tables_keeper()
        await keeper.work()
        await keeper.close()
    assert first_kept(small) == 40
    small.assert_exact(kept_of(small, small.sent))
