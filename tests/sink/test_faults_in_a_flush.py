"""A flush that fails at any point, for any reason: everything is counted exactly once."""

import asyncio
import os
import random
import signal
import time

import psutil
import pymysql
import pytest

from setup.local.parts.mariadb import MariaDbNode
from setup.local.platform import Platform
from tests.marks import second_tier
from tests.sink.faults import at_point
from tests.sink.harness import Harness, Running

pytestmark = pytest.mark.asyncio

# 150 full rows in statements of 60: three INSERTs of aggregates, then the roll-ups.
POINTS = ("update", "updated", "insert1", "insert2", "insert4", "commit", "committed")


def lost() -> None:
    raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")


@pytest.mark.parametrize("point", POINTS)
async def test_an_error_at_any_point(harness: Harness, point: str) -> None:
    await harness.send(600)
    running = Running(harness)
    at_point(running.sink._database, point, lost)
    async with running:
        await running.until_done()
    harness.assert_exact()


@second_tier
async def test_killed_at_any_point(harness: Harness) -> None:
    await harness.send(1_500)
    for point in POINTS:
        with harness.child(kill=point) as child:
            assert await asyncio.to_thread(child.wait, 30) == -signal.SIGKILL
    async with Running(harness) as running:
        await running.until_done()
    harness.assert_exact()


async def test_stopped_between_update_and_commit(harness: Harness) -> None:
    await harness.send(400)
    with harness.child(stop="commit") as zombie:
        process = psutil.Process(zombie.pid)
        await _until(lambda: process.status() == psutil.STATUS_STOPPED)
        async with Running(harness) as successor:
            # The zombie's lock ends when the server closes its idle session (wait_timeout 2 s).
            await successor.until_done()
            harness.assert_exact()
            zombie.send_signal(signal.SIGCONT)
            for _ in range(4):
                await harness.send(150)
                await asyncio.sleep(0.3)
            await successor.until_done()
        harness.assert_exact()
        # The zombie takes over again after the successor has ended.
        await harness.send(150)
        await _until(lambda: harness.offset() == len(harness.sent))
        assert zombie.poll() is None
    harness.assert_exact()


@second_tier
async def test_stopped_again_and_again_past_its_time_outs(harness: Harness) -> None:
    """Stopped at any point, for longer than the server keeps its session (2 s)."""
    rng = random.Random(5)
    await harness.send(300)
    with harness.child() as zombie:
        await _until(lambda: harness.offset())
        async with Running(harness) as twin:
            for _ in range(3):
                await harness.send(300)
                await asyncio.sleep(rng.random() / 2)
                zombie.send_signal(signal.SIGSTOP)
                await harness.send(300)
                await twin.until_done()
                await asyncio.sleep(2.5)
                zombie.send_signal(signal.SIGCONT)
            await harness.send(300)
            await twin.until_done()
        assert zombie.poll() is None
    harness.assert_exact()


async def test_database_killed_in_the_middle_of_a_flush(harness: Harness, stores: Platform) -> None:
    await harness.send(1_000)
    killed = []

    def kill_server() -> None:
        (server,) = (part for part in stores.parts if isinstance(part, MariaDbNode))
        pid = stores.supervisor.states()[server.name].pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    running = Running(harness)
    at_point(running.sink._database, "insert2", kill_server)
    async with running:
        await running.until(lambda: killed)
        await running.until(lambda: running.actor.status.state.startswith("waiting"))
        stores.up(("mariadb",))
        await running.until_done()
    harness.assert_exact()


async def _until(reached: object, timeout_s: float = 30.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.05)
