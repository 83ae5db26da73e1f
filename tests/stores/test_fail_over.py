"""The profile view when masters change: a copy knows what it lacks, and receives it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
import pytest_asyncio
import redis

from actors.profiles.view import ProfileView
from serve_app.core.names import cookie_slot
from serve_app.core.slots import contains
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import Shard
from setup.local.platform import Platform
from tests.conftest import instance
from tests.marks import second_tier
from tests.stores.conftest import in_order, stopped
from tests.stores.view_harness import ViewHarness
from tests.waiting import eventually


@pytest.fixture(scope="module")
def six_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Redis only: three masters, each with a replica."""
    with instance(tmp_path_factory, stack="cluster") as platform:
        platform.up(("redis",))
        yield platform


@pytest_asyncio.fixture
async def harness(six_nodes: Platform) -> AsyncIterator[ViewHarness]:
    """Empty shards, with every replica in sync."""
    ports = range(six_nodes.ports["redis"], six_nodes.ports["redis"] + 6)
    for port in ports:
        await eventually(partial(in_order, port))
    await eventually(partial(in_step, ports))
    shards = connect_shards(six_nodes.settings(), refresh_s=0.2)
    shards.start()
    await shards.wait_ready()

    async def replicas_known() -> bool:
        await shards.changed(0.5)
        return all(shard.replicas for shard in shards.shards)

    await eventually(replicas_known)
    for shard in shards.shards:
        with redis.Redis("127.0.0.1", shard.master.port) as admin:
            admin.flushall()
            # A master that is stopped before its replica is empty, too, leaves it the test before.
            assert admin.wait(1, 10_000) == 1
    harness = ViewHarness(six_nodes.settings(), shards)
    yield harness
    await harness.end()
    await shards.stop()


async def in_step(ports: range) -> bool:
    """Whether there are three replicas, each with a link to its master."""
    links = []
    for port in ports:
        told = redis.Redis("127.0.0.1", port, socket_timeout=1).info("replication")
        links.append(told.get("master_link_status"))
    return sorted(map(str, links)) == ["None"] * 3 + ["up"] * 3


def part(platform: Platform, port: int) -> str:
    return f"redis-{port - platform.ports['redis'] + 1}"


def cookies_of(harness: ViewHarness, shard: Shard) -> list[str]:
    return [c for c in harness.cookies if contains(shard.slots, cookie_slot(c))]


async def followed(harness: ViewHarness) -> tuple[ProfileView, Shard]:
    """A view that has applied a hundred tags, with a concurrent reader; and one of the shards."""
    harness.watch()
    view = harness.start()
    harness.send(100)
    await harness.whole()
    return view, harness.shards.shards[0]


async def leads(harness: ViewHarness, port: int) -> bool:
    """Whether the reader sees the node as a master."""
    await harness.shards.changed(0.2)
    return any(shard.master.port == port for shard in harness.shards.shards)


async def test_a_replica_that_was_away_is_promoted_and_gets_what_it_lacks(
    harness: ViewHarness, six_nodes: Platform
) -> None:
    view, shard = await followed(harness)
    master, (replica,) = shard.master.port, [one.port for one in shard.replicas]
    lagging = redis.Redis("127.0.0.1", replica)
    with ExitStack() as stack:
        away = stack.enter_context(ExitStack())
        away.enter_context(stopped(six_nodes, part(six_nodes, replica)))
        harness.send(300)
        await harness.whole()
        stack.enter_context(stopped(six_nodes, part(six_nodes, master)))
        away.close()
        lagging.execute_command("CLUSTER FAILOVER TAKEOVER")
        await eventually(partial(leads, harness, replica))
        await harness.whole()
        # The other shards were not affected.
        assert view.applied <= 400 + 400
    # The old master resumes as a master, and must learn that it is not.
    harness.send(50)
    await harness.whole()
    await harness.settled()


@second_tier
async def test_a_replica_with_a_broken_link_says_how_old_it_is(
    harness: ViewHarness, six_nodes: Platform
) -> None:
    _, shard = await followed(harness)
    master, (replica,) = shard.master.port, [one.port for one in shard.replicas]
    cookies = cookies_of(harness, shard)
    follower = redis.Redis("127.0.0.1", replica)
    follower.config_set("masterauth", "wrong")
    redis.Redis("127.0.0.1", master).execute_command("CLIENT KILL TYPE replica")
    try:
        harness.send(200, cookies)
        before = harness.log.end
        await harness.whole()
        with stopped(six_nodes, part(six_nodes, master)):

            async def answered_by_the_replica() -> bool:
                await harness.check(cookies[0])
                reached, _ = await harness.read(cookies[0])
                return reached.offsets.get(0, 0) < before

            # From its old position until it is promoted, and then from a new one.
            await eventually(answered_by_the_replica, 5, 0.001)
            await eventually(partial(leads, harness, replica))
            await harness.whole()
    finally:
        follower.config_set("masterauth", "")
    await harness.whole()
    await harness.settled()


@second_tier
async def test_masters_that_hang_one_after_the_other_lose_nothing(
    harness: ViewHarness, six_nodes: Platform
) -> None:
    harness.watch()
    harness.start()
    for turn in range(2):
        shard = harness.shards.shards[turn]
        master, replicas = shard.master.port, [one.port for one in shard.replicas]
        with stopped(six_nodes, part(six_nodes, master)):
            while not await leads(harness, replicas[0]):
                harness.send(5)
                await asyncio.sleep(0.05)
        harness.send(50)
        await harness.whole()
    await harness.settled()


@second_tier
async def test_a_shard_that_is_gone_altogether_refuses_its_own_profiles_alone(
    harness: ViewHarness, six_nodes: Platform
) -> None:
    _, shard = await followed(harness)
    gone = cookies_of(harness, shard)
    with ExitStack() as stack:
        for port in (shard.master.port, *(one.port for one in shard.replicas)):
            stack.enter_context(stopped(six_nodes, part(six_nodes, port)))
        harness.send(100)

        async def others_whole() -> bool:
            return all([await harness.check(c) for c in harness.cookies if c not in gone])

        await eventually(others_whole, 5)
        assert not await harness.check(gone[0])
    await harness.whole()
    await harness.settled()
