"""A rebuild while actors run: nothing lost, nothing counted twice, no query wrong."""

import asyncio
import random
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import psutil
import pymysql
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from actors.aggregates.batch import Batch
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.pending import Pending
from actors.aggregates.ports import FlushReport, Position
from actors.aggregates.tables import LIVE, OLD, SHADOW, Tables
from actors.errors import StoreUnavailable
from actors.log.kafka_log import KafkaLog
from actors.log.ports import Record
from actors.tools.rebuild.errors import RebuildFailed, RebuildRefused
from actors.tools.rebuild.session import RebuildSession
from actors.tools.rebuild.shadow import prepare, swap
from tests.marks import second_tier
from tests.sink.harness import Harness, Running
from tests.sink.rebuilds import POINTS, Said, rebuild_box, rebuilding_child
from tests.sink.stream import expected
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio


def damage(harness: Harness) -> None:
    """Rows lost, altered and added, and an offset that is too high."""
    harness.query("DELETE FROM aggregates ORDER BY bucket, origin_id LIMIT 7")
    harness.query("UPDATE aggregates SET sum_price = sum_price + 1 ORDER BY bucket DESC LIMIT 3")
    harness.query("UPDATE rollups SET count = count + 2 WHERE dimension = 0 LIMIT 1")
    harness.query("REPLACE INTO rollups VALUES (1, 0, 0, 0, 0, 9, 9)")


@pytest_asyncio.fixture(autouse=True)
async def clean(harness: Harness) -> None:
    """Drop tables of earlier tests."""
    for table in (*SHADOW.all, *OLD.all):
        harness.query(f"DROP TABLE IF EXISTS {table}")


async def test_repairs_damaged_tables_while_actors_and_a_producer_go_on(harness: Harness) -> None:
    await harness.send(3_000)
    said, finished = Said(), asyncio.Event()

    async def produce() -> None:
        while not finished.is_set():
            await harness.send(40)
            await asyncio.sleep(0.05)

    async with Running(harness) as running:
        await running.until_done()
        damage(harness)
        producing = asyncio.create_task(produce())
        report = await rebuild_box(harness, said, compare=True)
        finished.set()
        await producing
        await running.until_done()
        await harness.send(200)
        await running.until_done()
    harness.assert_exact()
    # Without a flush whose commit was under way when the loops were stopped.
    assert 3_000 <= report.tags + report.unreadable <= report.offsets[0]
    assert report.differences, "the damage was not seen"
    minutes = {found.minute for found in report.differences}
    # Totals by minute: only the added row and the raised one.
    assert 1 in minutes
    assert len(minutes) == 2
    assert said.shares[-1] > 0.9
    assert not harness.query("SHOW TABLES LIKE '%rebuild'")
    assert not harness.query("SHOW TABLES LIKE '%old'")


@second_tier
async def test_no_query_sees_a_half_swap(harness: Harness) -> None:
    """Check that each snapshot holds exactly the tags before its offset."""
    await harness.send(2_000)
    seen: list[tuple[int, int]] = []
    finished = asyncio.Event()

    def look() -> tuple[int, int]:
        rows = harness.query(
            "SELECT 1, COALESCE(SUM(count), 0) FROM rollups WHERE dimension = 0 "
            "UNION ALL SELECT 0, next_offset FROM partition_offsets"
        )
        found = {int(str(kind)): int(str(value)) for kind, value in rows}
        return found[0], found[1]

    async def watch() -> None:
        while not finished.is_set():
            seen.append(await asyncio.to_thread(look))

    async with Running(harness) as running:
        await running.until_done()
        watching = asyncio.create_task(watch())
        rebuilds = 0
        # The number of snapshots meanwhile depends on the machine.
        while rebuilds < 2 or len(seen) <= 20:
            await harness.send(100)
            await rebuild_box(harness)
            rebuilds += 1
            assert not watching.done()
        finished.set()
        await watching
        await running.until_done()
    harness.assert_exact()
    for offset, count in seen:
        # Every 50th of the stream is unreadable.
        assert count == offset - offset // 50


async def count_into(harness: Harness, tables: Tables, upto: int) -> None:
    """Write the tags before offset ``upto`` to ``tables``, in one flush."""
    log = KafkaLog(harness.topic, 0, stores=harness.stores, settings=harness.settings)
    topic_id = (await log.state()).topic_id
    await log.close()
    sink = MySQLSink(
        0,
        database=Database(harness.stores, harness.settings),
        settings=harness.settings,
        tables=tables,
    )
    pending = Pending(harness.settings, 0)
    for offset, body in enumerate(harness.sent[:upto]):
        pending.take(Record(offset, body), 0.0)
    first = await sink.claim(Position(topic_id, 0, None))
    watermark_ms = pending.batch.watermark_ms
    await sink.flush(pending.batch, first, Position(topic_id, upto, watermark_ms))
    await sink.close()


@pytest_asyncio.fixture
async def session(harness: Harness) -> AsyncIterator[RebuildSession]:
    """Session of a rebuild with existing shadow tables."""
    session = RebuildSession(harness.stores)
    await session.hold()
    await prepare(session, fresh=True)
    yield session
    await session.close()


@pytest.mark.parametrize("upto", [400, 600, 800])
@second_tier
async def test_the_swap_meets_an_actor_with_a_batch_in_its_memory(
    harness: Harness, session: RebuildSession, upto: int
) -> None:
    """The actor's flush begins at 600; the new tables are behind, equal or ahead."""
    await harness.send(800)
    await count_into(harness, SHADOW, upto)
    await count_into(harness, LIVE, 600)
    running, swapped = Running(harness), asyncio.Event()
    flush = running.sink.flush

    async def flush_after_the_swap(batch: Batch, old: Position, new: Position) -> FlushReport:
        await swapped.wait()
        return await flush(batch, old, new)

    running.sink.flush = flush_after_the_swap  # type: ignore[method-assign]
    async with running:
        await running.until(lambda: running.actor._flush is not None)
        assert await swap(session)
        assert harness.offset() == upto
        swapped.set()
        await running.until(lambda: harness.offset() == 800 and running.actor.status.offset == 800)
        await running.until(lambda: running.actor.status.conflicts == (0 if upto == 600 else 1))
    harness.assert_exact()
    # As after a lost answer to the RENAME, which must not be repeated.
    assert await swap(session)


@second_tier
async def test_tables_whose_partitions_are_being_changed_are_not_gone(
    harness: Harness, session: RebuildSession
) -> None:
    """MariaDB replaces the table's file meanwhile, and lists tables by their files."""
    await prepare(session, fresh=True)
    stop = threading.Event()

    def change() -> None:
        split = "p_rest INTO (PARTITION p1 VALUES LESS THAN (60), PARTITION p_rest VALUES LESS THAN"
        merge = "p1, p_rest INTO (PARTITION p_rest VALUES LESS THAN"
        with harness.connection() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                for form in (split, merge):
                    cursor.execute(
                        f"ALTER TABLE {SHADOW.aggregates} REORGANIZE PARTITION {form} MAXVALUE)"
                    )

    changing = asyncio.create_task(asyncio.to_thread(change))
    try:
        for _ in range(100):
            assert await prepare(session, fresh=False) is not None
    finally:
        stop.set()
        await changing


@second_tier
async def test_an_open_flush_is_before_the_swap_or_after_it(
    harness: Harness, session: RebuildSession
) -> None:
    await harness.send(600)
    await count_into(harness, LIVE, 300)
    await count_into(harness, SHADOW, 300)
    connection = harness.connection()
    with connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE partition_offsets SET next_offset = 301")
        assert not await swap(session)
        # Nothing is renamed, and the transaction can continue.
        assert harness.offset() == 300
        swapping = asyncio.create_task(swap(session))
        await eventually(is_waiting(harness))
        connection.rollback()
        assert await swapping
    async with Running(harness) as running:
        await running.until_done()
    harness.assert_exact()


@second_tier
async def test_a_deadlock_of_flush_and_swap_ends_one_of_them_whole(
    harness: Harness, session: RebuildSession
) -> None:
    """The RENAME has locked aggregates and waits for offsets; the flush the other way round."""
    await harness.send(600)
    await count_into(harness, LIVE, 300)
    await count_into(harness, SHADOW, 300)
    connection = harness.connection()
    with connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE partition_offsets SET next_offset = 301")
        swapping = asyncio.create_task(swap(session))
        await eventually(is_waiting(harness))
        try:
            await asyncio.to_thread(
                cursor.execute, "INSERT INTO aggregates VALUES (1, 0, 1, 1, 1, 0, 1, 1)"
            )
            await asyncio.to_thread(connection.commit)
            error_number, flushed = 0, True
        except pymysql.err.OperationalError as error:
            error_number, flushed = error.args[0], False
        swapped = await swapping
    assert swapped or flushed
    assert error_number in (0, 1205, 1213)
    rows = harness.query("SELECT COUNT(*) FROM aggregates WHERE bucket = 1")
    # Both of the flush's statements or neither, in the same set of tables.
    live_has = rows[0][0] == 1
    assert live_has == (flushed and not swapped)
    assert harness.offset() == (301 if live_has else 300)


def is_waiting(harness: Harness) -> Callable[[], Awaitable[bool]]:
    async def waiting() -> bool:
        rows = harness.query(
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME%'"
        )
        return bool(rows)

    return waiting


@second_tier
async def test_killed_at_any_point_and_started_again(harness: Harness) -> None:
    await harness.send(1_500)
    async with Running(harness) as running:
        await running.until_done()
        for point in POINTS:
            damage(harness)
            with rebuilding_child(harness, point) as child:
                assert await asyncio.to_thread(child.wait, 60) == -signal.SIGKILL
            if point == "swapped":
                # Complete, before any clean-up.
                await running.until_done()
                harness.assert_exact()
            await harness.send(100)
            await running.until_done()
        said = Said()
        await rebuild_box(harness, said)
        await running.until_done()
    harness.assert_exact()
    assert not harness.query("SHOW TABLES LIKE '%old'")


@second_tier
async def test_goes_on_where_it_was_cut_off(harness: Harness) -> None:
    await harness.send(1_000)
    with rebuilding_child(harness, "swap") as child:
        assert await asyncio.to_thread(child.wait, 60) == -signal.SIGKILL
    await harness.send(500)
    said = Said()
    report = await rebuild_box(harness, said)
    assert any("going on" in line for line in said.lines)
    assert report.tags == 490
    harness.assert_exact()
    said = Said()
    report = await rebuild_box(harness, said, fresh=True)
    assert report.tags == 1_470
    harness.assert_exact()


async def test_a_second_one_is_refused(harness: Harness) -> None:
    await harness.send(500)
    with rebuilding_child(harness, "swap", signal.SIGSTOP) as child:
        await _until_stopped(child.pid)
        with pytest.raises(RebuildRefused, match="another rebuild is running"):
            await rebuild_box(harness)
        child.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(child.wait, 60) == 1  # the point was reached
    harness.assert_exact()


@second_tier
async def test_a_log_that_does_not_reach_back_needs_consent(harness: Harness) -> None:
    await harness.send(1_500)
    async with Running(harness) as running:
        await running.until_done()
    await harness.admin(
        lambda admin: admin.delete_records({TopicPartition(harness.topic, 0): RecordsToDelete(700)})
    )
    with pytest.raises(RebuildRefused, match="log begins at offset 700"):
        await rebuild_box(harness)
    harness.assert_exact()
    report = await rebuild_box(harness, accept_loss=True)
    assert len(report.losses) == 1
    full, _ = harness.tables()
    assert full == expected(harness.sent[700:])[0]


@second_tier
async def test_empty_tables_beside_a_log_that_was_cut_need_consent_too(harness: Harness) -> None:
    await harness.send(500)
    await harness.admin(
        lambda admin: admin.delete_records({TopicPartition(harness.topic, 0): RecordsToDelete(200)})
    )
    async with Running(harness) as running:
        await running.until(lambda: running.actor.status.state.startswith("failed"))
    with pytest.raises(RebuildRefused, match="log begins at offset 200"):
        await rebuild_box(harness)
    report = await rebuild_box(harness, accept_loss=True)
    assert len(report.losses) == 1
    async with Running(harness) as running:
        await running.until_done()
    full, _ = harness.tables()
    assert full == expected(harness.sent[200:])[0]


@second_tier
async def test_a_topic_made_again_ends_it(harness: Harness) -> None:
    await harness.send(300)
    with rebuilding_child(harness, "swap") as child:
        assert await asyncio.to_thread(child.wait, 60) == -signal.SIGKILL
    await harness.delete_topic()
    await harness.create_topic()
    with pytest.raises(RebuildFailed, match="replaced"):
        await rebuild_box(harness)


@second_tier
async def test_sessions_that_are_cut_change_nothing(harness: Harness) -> None:
    """Repeatedly, including the session with the lock, during counting and swap."""
    await harness.send(4_000)
    finished = asyncio.Event()

    async def cut() -> None:
        while not finished.is_set():
            connection = harness.connection()
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT id FROM information_schema.PROCESSLIST WHERE id <> CONNECTION_ID()"
                )
                if victims := list(cursor.fetchall()):
                    with suppress(pymysql.err.MySQLError):
                        cursor.execute(f"KILL {random.choice(victims)[0]}")
            await asyncio.sleep(0.2)

    cutting = asyncio.create_task(cut())
    rebuilding = asyncio.create_task(rebuild_box(harness))
    await asyncio.wait({rebuilding}, timeout=5)
    finished.set()
    await cutting
    try:
        await rebuilding
    except StoreUnavailable:
        # The session was killed while idle: before the counting, or in the clean-up.
        await rebuild_box(harness)
    harness.assert_exact()


async def _until_stopped(pid: int) -> None:
    process = psutil.Process(pid)

    async def stopped() -> bool:
        return bool(process.status() == psutil.STATUS_STOPPED)

    await eventually(stopped, timeout_s=60)
