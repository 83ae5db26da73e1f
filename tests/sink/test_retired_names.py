"""Names are removed with dropped hours, on a real server, concurrently with other work."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.retired_names import RetiredNames
from actors.aggregates.tables import OLD, SHADOW
from actors.errors import Conflict
from actors.tools.rebuild.session import RebuildSession
from actors.tools.rebuild.shadow import drop_old, prepare, swap
from serve_app.core.clock import SystemClock
from serve_app.core.query import AggregateQuery
from serve_app.stores.aggregates import Aggregates
from serve_app.stores.database import create_engine
from tests.marks import second_tier
from tests.sink.faults import at_point, before_statement
from tests.sink.harness import Harness
from tests.sink.origins import FIRST_HOUR, START, after, batch_of

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def clean(harness: Harness) -> None:
    """Drop tables of earlier tests."""
    for table in (*SHADOW.all, *OLD.all):
        harness.query(f"DROP TABLE IF EXISTS {table}")


@pytest_asyncio.fixture
async def names(harness: Harness) -> AsyncIterator[RetiredNames]:
    database = Database(harness.stores, harness.settings)
    yield RetiredNames(database, clock=SystemClock(), max_names=9, timeout_s=8)
    await database.close()


class Writer:
    """A sink and its position."""

    def __init__(self, sink: MySQLSink) -> None:
        self.sink = sink
        self.at = START

    async def write(self, *origins: str, hour: int = 0) -> None:
        new = after(self.at, len(origins))
        await self.sink.flush(batch_of(*origins, hour=hour), self.at, new)
        self.at = new


async def writing(harness: Harness, partition: int = 0, **changes: int) -> Writer:
    settings = harness.settings.model_copy(update=changes)
    sink = MySQLSink(partition, database=Database(harness.stores, settings), settings=settings)
    writer = Writer(sink)
    writer.at = await sink.claim(START)
    return writer


def raise_bound(harness: Harness, hour: int) -> None:
    """Set the first kept hour."""
    harness.query(f"UPDATE partition_offsets SET first_kept_hour = {FIRST_HOUR + hour}")


def origins(harness: Harness) -> dict[str, int]:
    """Ids of origins by name."""
    rows = harness.query("SELECT name, id FROM dictionary WHERE dimension = 1 ORDER BY id")
    return {bytes(name).decode(): int(number) for name, number in rows}


def counted(harness: Harness, hour: int) -> dict[str, int]:
    """Tags of one hour by origin; fails for a row whose id has no name."""
    first = (FIRST_HOUR + hour) * 60
    rows = harness.query(
        "SELECT name, value_id, SUM(count) FROM rollups AS r LEFT JOIN dictionary AS d "
        "ON d.id = value_id AND d.dimension = 1 WHERE r.dimension = 1 "
        f"AND bucket >= {first} AND bucket < {first + 60} GROUP BY name, value_id"
    )
    assert all(name is not None or number == 0 for name, number, _ in rows), rows
    return {"" if name is None else bytes(name).decode(): int(count) for name, _, count in rows}


async def test_a_name_leaves_with_its_last_hour(harness: Harness, names: RetiredNames) -> None:
    writer = await writing(harness)
    await writer.write("always", "early", hour=0)
    await writer.write("always", "late", hour=1)
    before = origins(harness)
    await names.work()
    assert origins(harness) == before
    raise_bound(harness, 1)
    await names.work()
    assert origins(harness).keys() == {"always", "late"}
    assert (names.status.retired, names.status.names[1]) == (1, 2)
    # It returns with another id, also in a sink that had the old one cached.
    await writer.write("early", "always", hour=1)
    await writer.sink.close()
    assert counted(harness, 1) == {"always": 2, "late": 1, "early": 1}
    assert origins(harness)["early"] not in before.values()


@second_tier
async def test_a_tag_far_ahead_keeps_its_name(harness: Harness, names: RetiredNames) -> None:
    writer = await writing(harness)
    await writer.write("ahead", hour=100)
    await writer.write("ahead", "now", hour=1)
    await writer.sink.close()
    raise_bound(harness, 50)
    await names.work()
    assert "ahead" in origins(harness)
    assert counted(harness, 100) == {"ahead": 1}


@second_tier
async def test_numbers_are_not_used_again(harness: Harness, names: RetiredNames) -> None:
    writer = await writing(harness)
    seen: dict[int, str] = {}
    for hour in range(6):
        await writer.write(f"o{hour}", hour=hour)
        for name, number in origins(harness).items():
            assert seen.setdefault(number, name) == name
        raise_bound(harness, hour + 1)
        await names.work()
        # Not even if the counter is lost with a dump.
        harness.query("ALTER TABLE dictionary AUTO_INCREMENT = 1")
    await writer.sink.close()
    assert len(seen) == 6


@pytest.mark.parametrize("point", ["update", "updated", "insert1", "commit"])
async def test_names_leave_while_a_flush_is_under_way(
    harness: Harness, names: RetiredNames, point: str
) -> None:
    """After the sink has looked up ids, the hour is dropped with its names."""
    writer = await writing(harness)
    await writer.write("x", hour=0)

    def drop() -> None:
        if point == "update":
            raise_bound(harness, 1)
            harness.query(f"DELETE FROM dictionary WHERE until_hour < {FIRST_HOUR + 1}")
        else:
            # The flush holds its row lock: the bound has to wait, as in `_raise_bound`.
            with pytest.raises(Exception, match=r"Lock wait timeout|NOWAIT"):
                harness.query("SELECT * FROM partition_offsets FOR UPDATE NOWAIT")

    at_point(writer.sink._database, point, drop)
    batch = batch_of("x", "y", hour=0)
    for other in (batch_of("x", "z", hour=1),):
        batch.full |= other.full
        batch.hours |= other.hours
        batch.tags += other.tags
    report = await writer.sink.flush(batch, writer.at, after(writer.at, 4))
    await writer.sink.close()
    assert report.late == (2 if point == "update" else 0)
    assert counted(harness, 1) == {"x": 1, "z": 1}
    raise_bound(harness, 1)
    await names.work()
    assert counted(harness, 1) == {"x": 1, "z": 1}


async def test_a_name_that_leaves_while_its_lease_is_extended_comes_back(harness: Harness) -> None:
    writer = await writing(harness)
    await writer.write("x", hour=0)
    old = origins(harness)["x"]
    writer.sink._dictionary.forget()
    gone: list[int] = []

    def leave() -> None:
        if not gone:
            gone.append(1)
            harness.query("DELETE FROM dictionary WHERE name = 'x'")

    before_statement(writer.sink._database, "UPDATE dictionary", leave)
    await writer.write("x", hour=1)
    await writer.sink.close()
    assert gone
    assert origins(harness)["x"] > old
    assert counted(harness, 1) == {"x": 1}


@second_tier
async def test_what_a_restored_database_needs_stays(harness: Harness, names: RetiredNames) -> None:
    """The bound is lowered between reading it and the removal."""
    writer = await writing(harness)
    await writer.write("early", "early too", hour=0)
    await writer.write("late", hour=1)
    await writer.sink.close()
    raise_bound(harness, 1)
    restored: list[int] = []

    def restore() -> None:
        if not restored:
            restored.append(1)
            raise_bound(harness, 0)

    before_statement(names._database, "SELECT id FROM dictionary", restore)
    await names.work()
    assert restored
    assert counted(harness, 0) == {"early": 1, "early too": 1}
    raise_bound(harness, 1)
    await names.work()
    assert origins(harness).keys() == {"late"}


async def begin_rebuild(harness: Harness) -> tuple[RebuildSession, Writer]:
    session = RebuildSession(harness.stores)
    await session.hold()
    await prepare(session, fresh=True)
    sink = MySQLSink(
        0,
        database=Database(harness.stores, harness.settings),
        settings=harness.settings,
        tables=SHADOW,
    )
    writer = Writer(sink)
    writer.at = await sink.claim(START)
    return session, writer


@second_tier
async def test_a_rebuild_that_lies_behind_keeps_no_more_than_the_live_tables(
    harness: Harness, names: RetiredNames
) -> None:
    live = await writing(harness)
    for hour in range(4):
        await live.write("always", f"o{hour}", hour=hour)
    raise_bound(harness, 1)
    await names.work()
    session, beside = await begin_rebuild(harness)
    # Tags that the live tables no longer keep count as late from the start.
    report = await beside.sink.flush(batch_of("o0", hour=0), beside.at, after(beside.at, 2))
    assert report.late == 1
    beside.at = after(beside.at, 2)
    await beside.write("always", "o1", hour=1)
    await beside.write("always", "o2", hour=2)
    # The live tables drop an hour that the rebuild has counted, and its names.
    raise_bound(harness, 2)
    await names.work()
    assert "o1" not in origins(harness)
    report = await beside.sink.flush(batch_of("o1", hour=1), beside.at, after(beside.at, 1))
    assert report.late == 1
    beside.at = after(beside.at, 1)
    await beside.write("o3", "always", hour=3)
    await beside.sink.close()
    assert await swap(session)
    await drop_old(session)
    await session.close()
    ((bound,),) = harness.query("SELECT first_kept_hour FROM partition_offsets")
    assert bound == FIRST_HOUR + 2
    assert counted(harness, 2) == {"always": 1, "o2": 1}
    # The live actor continues from the swapped offset, which differs from its own.
    with pytest.raises(Conflict):
        await live.write("always", hour=3)
    await live.sink.close()


@second_tier
async def test_a_rebuild_that_was_left_over_holds_up_nobody(
    harness: Harness, names: RetiredNames
) -> None:
    live = await writing(harness)
    await live.write("early", hour=0)
    session, beside = await begin_rebuild(harness)
    await beside.write("early", hour=0)
    await beside.sink.close()
    await session.close()
    await live.write("late", hour=1)
    await live.sink.close()
    raise_bound(harness, 1)
    await names.work()
    assert origins(harness).keys() == {"late"}


@second_tier
async def test_twins_and_retirement_at_random(harness: Harness) -> None:
    """Three partitions with two sinks each, changing names, dropped hours."""
    rng, top = random.Random(7), 0
    writers = [await writing(harness, number % 3) for number in range(6)]
    databases = [Database(harness.stores, harness.settings) for _ in range(2)]
    removers = [
        RetiredNames(one, clock=SystemClock(), max_names=9, timeout_s=8) for one in databases
    ]
    wanted: dict[tuple[int, str], int] = {}

    async def count(writer: Writer) -> None:
        for _ in range(25):
            hour = max(0, top - rng.randrange(3))
            chosen = [f"o{rng.randrange(12)}" for _ in range(4)]
            try:
                report = await writer.sink.flush(
                    batch_of(*chosen, hour=hour), writer.at, after(writer.at, 4)
                )
            except Conflict:
                position = await writer.sink.position()
                assert position is not None
                writer.at = position
                continue
            writer.at = after(writer.at, 4)
            if not report.late:
                for name in chosen:
                    wanted[hour, name] = wanted.get((hour, name), 0) + 1

    async def drop() -> None:
        nonlocal top
        while not counting.done():
            top += 1
            if top > 2:
                await asyncio.to_thread(raise_bound, harness, top - 2)
            await asyncio.gather(*(one.work() for one in removers))

    counting = asyncio.gather(*map(count, writers))
    await drop()
    await counting
    for writer in writers:
        await writer.sink.close()
    for one in databases:
        await one.close()
    for hour in range(max(0, top - 2), top + 1):
        assert counted(harness, hour) == {
            name: number for (of, name), number in wanted.items() if of == hour
        }


def junk(number: int) -> list[str]:
    return [f"junk{one}" for one in range(number)]


async def capped(harness: Harness, origin: str, hour: int) -> bool:
    """Whether a query for the origin in the first minute of an hour is refused."""
    engine, minute = create_engine(harness.stores), (FIRST_HOUR + hour) * 60
    query = AggregateQuery(minute, minute + 1, "VIEW", ("COUNT",), (("origin", origin),))
    try:
        return bool((await Aggregates(engine).snapshot(query, 10)).capped)
    finally:
        await engine.dispose()


@second_tier
async def test_a_flood_costs_its_own_names_for_a_day(harness: Harness, names: RetiredNames) -> None:
    writer = await writing(harness, dictionary_max_names=10)
    await writer.write("a", "b", hour=0)
    await writer.write("a", "b", *junk(50), hour=1)
    await writer.write("a", "b", "campaign", hour=2)
    assert len(origins(harness)) == 10
    for hour in (1, 2):
        for known in ("a", "b", "junk0"):
            assert not await capped(harness, known, hour)
        assert await capped(harness, "campaign", hour)
    assert counted(harness, 2) == {"a": 1, "b": 1, "": 1}
    assert not await capped(harness, "campaign", 0)
    # Later the flood's hours are dropped, and there is room again.
    raise_bound(harness, 2)
    await names.work()
    await writer.write("a", "campaign", hour=3)
    assert {"a", "b", "campaign"} <= origins(harness).keys()
    assert counted(harness, 3) == {"a": 1, "campaign": 1}
    assert not await capped(harness, "campaign", 3)
    # Its tags of the second hour are still under id 0.
    assert await capped(harness, "campaign", 2)
    # So may late tags of that hour be, whichever id the name has now.
    twin = await writing(harness, 1, dictionary_max_names=10)
    await twin.write("campaign", hour=2)
    assert await capped(harness, "campaign", 2)
    await twin.sink.close()
    # Dropping that hour removes the last of them.
    raise_bound(harness, 3)
    await names.work()
    await writer.write("next", hour=4)
    await writer.sink.close()
    for name in ("a", "campaign", "next", "never"):
        for hour in (3, 4):
            assert not await capped(harness, name, hour)


@second_tier
async def test_a_flood_dated_far_ahead_leaves_half_of_the_ids(harness: Harness) -> None:
    """Its names do not leave, whatever event time does here."""
    writer = await writing(harness, dictionary_max_names=10)
    # Before any hour was dropped, nobody knows what is far ahead.
    await writer.write("a", "early", hour=10_000)
    raise_bound(harness, 1)
    await writer.sink.position()
    await writer.write("b", "c", "d", hour=2)

    await writer.write("b", *junk(50), hour=10_000)

    known = {"a", "early", "b", "c", "d", "junk0", "junk1", "junk10"}
    assert origins(harness).keys() == known
    assert await capped(harness, "junk2", 10_000)
    # A name of the day is none of the flood, although a tag of it is dated ahead, too.
    batch, far = batch_of("campaign", hour=2), batch_of("campaign", *junk(50), hour=10_000)
    batch.full |= far.full
    batch.hours |= far.hours
    new = after(writer.at, 52)
    await writer.sink.flush(batch, writer.at, new)
    writer.at = new
    assert not await capped(harness, "campaign", 2)
    await writer.write("e", hour=72)
    await writer.write("f", hour=71)
    assert origins(harness).keys() == {*known, "campaign", "e"}
    assert not await capped(harness, "e", 72)
    assert await capped(harness, "f", 71)
    await writer.sink.close()


@second_tier
async def test_a_name_added_while_another_finds_no_room(harness: Harness) -> None:
    """In either order, the name is refused where its tags may be under id 0."""
    writer = await writing(harness, dictionary_max_names=1)
    await writer.write("a", hour=0)
    other = await writing(harness, 1, dictionary_max_names=2)
    finding = asyncio.Event()
    loop = asyncio.get_running_loop()

    def found() -> None:
        loop.call_soon_threadsafe(finding.set)

    # One finds the dictionary full; before it commits that, the other adds the name.
    before_statement(writer.sink._database, "INSERT INTO other_names", found)
    await asyncio.gather(writer.write("b", hour=1), other.write("b", hour=1))
    assert finding.is_set()
    await writer.sink.close()
    await other.sink.close()
    in_none = counted(harness, 1).get("", 0)
    assert await capped(harness, "b", 1) == (in_none > 0)
