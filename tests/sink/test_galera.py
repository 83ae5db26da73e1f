"""Flushes into three Galera nodes that are killed meanwhile: counted once, nothing lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pymysql
import pytest
import pytest_asyncio

from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.pending import Pending
from actors.aggregates.ports import Position
from actors.errors import ActorError, Conflict, SinkUnavailable
from actors.log.ports import Record
from setup.local.parts.mariadb import MariaDbNode
from setup.local.platform import Platform
from setup.local.roles import roles
from setup.local.tools import current_user
from tests.conftest import instance
from tests.marks import second_tier, third_tier
from tests.sink.harness import Harness
from tests.sink.stream import bodies
from tests.tables import ALL_TABLES
from tests.waiting import eventually

pytestmark = [second_tier, pytest.mark.asyncio]

TOPIC_ID = "a" * 32
START = Position(TOPIC_ID, 0, None)
BATCH = 20


@pytest.fixture(scope="module")
def galera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The three nodes and their address, with the schema."""
    with instance(tmp_path_factory, stack="cluster") as stores:
        stores.up(["mariadb"])
        yield stores


def nodes(galera: Platform) -> list[MariaDbNode]:
    return [part for part in galera.parts if isinstance(part, MariaDbNode)]


def owner(galera: Platform) -> str | None:
    """The node behind the address; None if unknown."""
    text = roles(galera).get("mariadb-address", "")
    return text.removeprefix("leads to ") or None


def kill(galera: Platform, *names: str) -> None:
    states = galera.supervisor.states()
    for name in names:
        os.kill(states[name].pid, signal.SIGKILL)


async def all_synced(galera: Platform) -> None:
    async def synced() -> bool:
        problems = [await asyncio.to_thread(node.problem) for node in nodes(galera)]
        return not any(problems)

    await eventually(synced, timeout_s=120, every_s=0.5)


def harness_at(galera: Platform, port: int | None = None) -> Harness:
    settings = galera.settings()
    return Harness(settings.model_copy(update={"mysql_port": port}) if port else settings, "none")


class Writer:
    """An actor's loop without a log: writes tags, and rereads the position after an error."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.sink = harness.sink()
        self.acknowledged = 0
        """Everything before this offset was committed and acknowledged to the writer."""
        self.errors = 0

    async def run(self) -> None:
        position: Position | None = None
        while True:
            try:
                if position is None:
                    position = await self.sink.claim(START)
                    # One batch may be committed without an answer; none may be lost.
                    assert position.next_offset in {self.acknowledged, self.acknowledged + BATCH}
                if len(self.harness.sent) < position.next_offset + BATCH:
                    self.harness.sent += bodies(BATCH, start=len(self.harness.sent))
                new = await write(self.sink, self.harness, position)
            except ActorError:
                self.errors += 1
                position = None
                await asyncio.sleep(0.2)
            else:
                position, self.acknowledged = new, new.next_offset


async def write(sink: MySQLSink, harness: Harness, old: Position) -> Position:
    pending = Pending(harness.settings, old.next_offset)
    for offset in range(old.next_offset, old.next_offset + BATCH):
        pending.take(Record(offset, harness.sent[offset]), 0.0)
    new = Position(TOPIC_ID, pending.next_offset, pending.batch.watermark_ms)
    await sink.flush(pending.batch, old, new)
    return new


@pytest_asyncio.fixture
async def writer(galera: Platform) -> AsyncIterator[Writer]:
    """Runs on empty tables; at the end everything must be counted once, on every node."""
    await all_synced(galera)
    harness = harness_at(galera)
    for table in ALL_TABLES:
        harness.query(f"TRUNCATE TABLE {table}")
    writer = Writer(harness)
    task = asyncio.create_task(writer.run())
    await progress(writer, task)
    yield writer
    await progress(writer, task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.sink.close()
    await all_synced(galera)
    del harness.sent[harness.offset() :]
    for node in nodes(galera):
        there = harness_at(galera, node.port)
        there.sent = harness.sent

        async def caught_up(there: Harness = there) -> bool:
            return there.offset() == len(there.sent)

        await eventually(caught_up)
        there.assert_exact()


async def progress(writer: Writer, task: "asyncio.Task[None]") -> None:
    """Wait for more flushes; fails if the writer fails."""
    goal = writer.acknowledged + 10 * BATCH

    async def reached() -> bool:
        if task.done():
            task.result()
        return writer.acknowledged >= goal

    await eventually(reached, timeout_s=120)


@third_tier
async def test_the_address_moves_when_its_node_dies_and_stays_there(
    galera: Platform, writer: Writer
) -> None:
    first = await asyncio.to_thread(owner, galera)
    assert first is not None
    kill(galera, first)

    async def moved() -> bool:
        return await asyncio.to_thread(owner, galera) not in {first, None}

    await eventually(moved, timeout_s=60)
    assert writer.errors
    second = await asyncio.to_thread(owner, galera)
    await all_synced(galera)
    assert await asyncio.to_thread(owner, galera) == second


async def test_all_nodes_killed_at_once_come_back_with_everything(
    galera: Platform, writer: Writer
) -> None:
    kill(galera, *(node.name for node in nodes(galera)))

    async def gone() -> bool:
        return writer.errors > 0

    await eventually(gone, timeout_s=60)
    await all_synced(galera)


@third_tier
async def test_a_majority_killed_at_once_stops_commits_until_all_have_decided(
    galera: Platform, writer: Writer
) -> None:
    survivor = await asyncio.to_thread(owner, galera)
    kill(galera, *(node.name for node in nodes(galera) if node.name != survivor))

    async def gone() -> bool:
        return writer.errors > 0

    await eventually(gone, timeout_s=60)
    await all_synced(galera)


async def test_a_node_that_lags_tells_no_old_offset_and_takes_no_old_batch(
    galera: Platform,
) -> None:
    await all_synced(galera)
    harness = harness_at(galera)
    for table in ALL_TABLES:
        harness.query(f"TRUNCATE TABLE {table}")
    harness.sent = bodies(2 * BATCH)
    first = await asyncio.to_thread(owner, galera)
    behind = next(node for node in nodes(galera) if node.name != first)
    sink, late = harness.sink(), harness_at(galera, behind.port).sink()
    try:
        old = await sink.claim(START)
        old = await write(sink, harness, old)
        assert await late.position() == old
        with pymysql.connect(unix_socket=str(behind.socket), user=current_user()) as root:
            with root.cursor() as cursor:
                # Nothing is applied there while this lock is held.
                cursor.execute("FLUSH TABLES WITH READ LOCK")
            new = await write(sink, harness, old)
            with pytest.raises(SinkUnavailable):
                await late.position()
            stale = asyncio.create_task(write(late, harness, old))
            await asyncio.sleep(0.5)
            assert not stale.done()
        with pytest.raises((Conflict, SinkUnavailable)):
            await stale
        assert await late.position() == new
        harness.assert_exact()
    finally:
        await sink.close()
        await late.close()
