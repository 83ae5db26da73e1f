"""Ids of names on a real server: assigned once, and not cached beyond a restored database."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from actors.aggregates.database import Database
from actors.errors import SinkUnavailable
from tests.sink.harness import Harness, Running
from tests.sink.origins import START, after, batch_of

pytestmark = pytest.mark.asyncio


def colliding(database: Database, number: Callable[[], int], times: int) -> None:
    """So many inserts of names take a number that is in use."""
    left = [times]

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def before(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO dictionary") and left[0]:
            left[0] -= 1
            cursor.execute(f"SET insert_id = {number()}")


async def test_a_name_whose_number_is_in_use_stops_the_flush(harness: Harness) -> None:
    """It must not count under id 0, as there is room."""
    sink = harness.sink()
    first = await sink.claim(START)
    second = after(first, 1)
    await sink.flush(batch_of("there"), first, second)
    ((used,),) = harness.query("SELECT id FROM dictionary WHERE name = 'there'")
    colliding(sink._database, lambda: int(str(used)), times=1)
    with pytest.raises(SinkUnavailable, match="did not take 1 of them, such as 'new'"):
        await sink.flush(batch_of("new"), second, after(second, 1))
    assert await sink.position() == second
    # The next attempt uses another id.
    report = await sink.flush(batch_of("new"), second, after(second, 1))
    assert report.capped_names == 0
    await sink.close()
    full, _ = harness.tables()
    assert sorted(str(key[2]) for key in full) == ["new", "there"]


async def test_the_loop_goes_on_after_collisions(harness: Harness) -> None:
    running = Running(harness)
    colliding(running.sink._database, lambda: 1, times=3)
    async with running:
        await harness.send(400)
        await running.until_done()
        assert running.actor.status.capped_names == 0
    harness.assert_exact()


async def test_a_restored_database_gives_its_own_ids(harness: Harness) -> None:
    """The position went back, so ids assigned since may belong to other names."""
    sink = harness.sink()
    first = await sink.claim(START)
    second = after(first, 1)
    await sink.flush(batch_of("kept"), first, second)
    third = after(second, 1)
    await sink.flush(batch_of("lost"), second, third)
    lost = harness.query("SELECT id FROM dictionary WHERE name = 'lost'")
    # As after restoring a dump of ``second``; meanwhile a twin assigned the id to another name.
    for table in ("aggregates", "rollups"):
        harness.query(f"TRUNCATE TABLE {table}")
    harness.query("UPDATE partition_offsets SET next_offset = 1")
    harness.query("UPDATE dictionary SET name = 'other' WHERE name = 'lost'")
    assert await sink.position() == second
    await sink.flush(batch_of("lost"), second, third)
    assert harness.query("SELECT id FROM dictionary WHERE name = 'lost'") > lost
    await sink.close()
    full, _ = harness.tables()
    assert [key[2] for key in full] == ["lost"]


async def test_a_failed_flush_empties_the_cache(harness: Harness) -> None:
    """Even with an unchanged position: names of the failed flush were cached since."""
    sink = harness.sink()
    first = await sink.claim(START)
    with pytest.raises(Exception, match="stored offset"):
        await sink.flush(batch_of("x"), after(first, 5), after(first, 6))
    harness.query("DELETE FROM dictionary")
    await sink.flush(batch_of("x"), first, after(first, 1))
    await sink.close()
    full, _ = harness.tables()
    assert [key[2] for key in full] == ["x"]


async def test_a_twin_that_was_there_empties_the_cache(harness: Harness) -> None:
    sinks = [harness.sink() for _ in range(2)]
    first = await sinks[0].claim(START)
    assert await sinks[1].position() == first
    second = after(first, 1)
    await sinks[0].flush(batch_of("x"), first, second)
    await sinks[1].flush(batch_of("y"), second, after(second, 1))
    harness.query("DELETE FROM dictionary WHERE name = 'x'")
    assert await sinks[0].position() == after(second, 1)
    await sinks[0].flush(batch_of("x"), after(second, 1), after(second, 2))
    await asyncio.gather(*(sink.close() for sink in sinks))
    assert harness.query("SELECT COUNT(*) FROM dictionary WHERE name = 'x'") == [(1,)]
