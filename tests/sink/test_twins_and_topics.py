"""Two actors on one partition, the same log again, another topic under the same name."""

import asyncio
import math

import pytest
from sqlalchemy import event

from actors.aggregates.batch import Batch
from actors.aggregates.pending import Pending
from actors.aggregates.ports import Position
from actors.errors import Conflict
from actors.log.ports import Record
from tests.sink.harness import Harness, Running

pytestmark = pytest.mark.asyncio

HOUR = 457_000
"""Epoch hour of event time."""


async def test_two_actors_on_one_partition(harness: Harness) -> None:
    async with Running(harness) as one, Running(harness) as other:
        for _ in range(15):
            await harness.send(100)
            await asyncio.sleep(0.1)
        await one.until_done()
        # Each reports it shortly after its commit.
        await one.until(
            lambda: one.actor.status.tags + other.actor.status.tags == len(harness.sent) * 49 // 50
        )
    harness.assert_exact()


async def test_a_zombie_with_an_old_offset_changes_nothing(harness: Harness) -> None:
    await harness.send(300)
    async with Running(harness) as running:
        await running.until_done()
    before = harness.tables()
    sink = harness.sink()
    now = await sink.position()
    assert now is not None
    pending = Pending(harness.settings, 0)
    for offset, body in enumerate(harness.sent):
        pending.take(Record(offset, body), 0.0)
    for old in (Position(now.topic_id, 0, None), Position("0" * 32, now.next_offset, None)):
        with pytest.raises(Conflict):
            await sink.flush(pending.batch, old, Position(old.topic_id, 9_999, None))
    await sink.close()
    assert harness.tables() == before
    harness.assert_exact()


async def test_the_log_again_from_its_start(harness: Harness) -> None:
    await harness.send(300)
    for _ in range(2):
        for table in ("aggregates", "rollups", "partition_offsets"):
            harness.query(f"TRUNCATE TABLE {table}")
        async with Running(harness) as running:
            await running.until_done()
        harness.assert_exact()


async def test_a_topic_made_again_stops_the_partition(harness: Harness) -> None:
    await harness.send(200)
    async with Running(harness) as running:
        await running.until_done()
        await harness.delete_topic()
        await running.until(lambda: running.actor.status.state.startswith("waiting"))
        await harness.create_topic()
        old, harness.sent = harness.sent, []
        await harness.send(500)
        await running.until(lambda: running.actor.status.state.startswith("failed"))
        assert "replaced" in running.actor.status.state
    harness.sent = old
    harness.assert_exact()


async def test_each_chunk_is_one_statement(harness: Harness) -> None:
    # All in one flush, even if a busy machine fetches slowly.
    harness.settings = harness.settings.model_copy(update={"flush_interval_s": 3.0})
    await harness.send(120)
    running, statements = Running(harness), []
    engine = running.sink._database.engine.sync_engine

    @event.listens_for(engine, "after_cursor_execute")
    def after(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    async with running:
        await running.until_done()
    (full,), (rolled,) = (
        harness.query("SELECT COUNT(*) FROM aggregates"),
        harness.query("SELECT COUNT(*) FROM rollups"),
    )
    size = harness.settings.statement_rows
    for table, rows in (("aggregates", full[0]), ("rollups", rolled[0])):
        sent = [text for text in statements if text.startswith(f"INSERT INTO {table}")]
        assert len(sent) == math.ceil(int(str(rows)) / size)


async def test_names_by_many_at_once(harness: Harness) -> None:
    names = {(1, "Nike"), (1, "Nike "), (1, "nike"), (2, "Nike"), (3, "żółć")}
    names |= {(2, f"b{number}") for number in range(600)}
    wanted = dict.fromkeys(names, HOUR)
    sinks = [harness.sink(partition) for partition in range(3)]
    found = await asyncio.gather(*(sink._dictionary.ids(wanted) for sink in sinks))
    assert all({name: ids[name] for name in names} == found[0] for ids in found)
    assert len({found[0][name] for name in names}) == len(names)
    capped = harness.sink()
    capped._dictionary._max_names = 602
    ids = await capped._dictionary.ids(dict.fromkeys([(2, "new1"), (2, "new2"), (1, "Nike")], HOUR))
    # There is room for one new name, with an unused id (collisions leave gaps).
    assert ids[(2, "new1")] > max(found[0].values())
    assert (ids[(2, "new2")], ids[(1, "Nike")]) == (0, found[0][(1, "Nike")])
    for sink in (*sinks, capped):
        await sink.close()


async def test_an_empty_batch_moves_the_offset_over_dead_letters(harness: Harness) -> None:
    sink = harness.sink()
    first = await sink.claim(Position("a" * 32, 0, None))
    assert await sink.claim(Position("b" * 32, 7, 7)) == first
    await sink.flush(Batch(), first, Position("a" * 32, 4, None))
    assert await sink.position() == Position("a" * 32, 4, None)
    await sink.close()
