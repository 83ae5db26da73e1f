"""The map of a real cluster: learned, followed when slots move, and usable in part."""

import asyncio
from collections.abc import Iterator

import pytest
import redis
from redis.crc import key_slot

from serve_app.core.deadline import Deadline
from serve_app.core.errors import Unavailable
from serve_app.core.names import profile_key
from serve_app.core.query import ProfileQuery
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_node import Credentials, RedisNode
from serve_app.stores.redis_shards import RedisShards, Shard, ShardUnavailable, parse_nodes
from setup.local.platform import Platform
from tests.unit.stores.conftest import kill, stopped
from tests.unit.stores.tags import FIRST_MS, new_cookie, typed, wire_tag
from tests.waiting import eventually


def admin_of(port: int) -> redis.Redis:
    return redis.Redis("127.0.0.1", port)


def move_slot(slot: int, source_port: int, target_port: int) -> None:
    """Give an empty slot to another node, behind the back of its users."""
    owner = admin_of(target_port).cluster("MYID")
    for port in (target_port, source_port):
        admin_of(port).cluster("SETSLOT", slot, "NODE", owner)


def part_of(platform: Platform, shard: Shard) -> str:
    return f"redis-{shard.master.port - platform.ports['redis'] + 1}"


def cookies_on(shards: RedisShards, shard: Shard) -> Iterator[str]:
    """New cookies that ``shard`` holds."""
    while True:
        cookie = new_cookie()
        if shards.shard_of(profile_key(cookie, "VIEW")) is shard:
            yield cookie


def query(cookie: str) -> ProfileQuery:
    return ProfileQuery(cookie, FIRST_MS, FIRST_MS + 60_000)


async def test_the_map_is_the_clusters_own(shards: RedisShards, redis_stores: Platform) -> None:
    ports = {
        slot: owner[1]
        for first, last, owner, *_ in admin_of(redis_stores.ports["redis"]).cluster("SLOTS")
        for slot in range(first, last + 1)
    }
    assert len(ports) == 16_384
    assert len(shards.shards) == 3
    for cookie in (new_cookie() for _ in range(200)):
        key = profile_key(cookie, "BUY")
        assert shards.shard_of(key).master.port == ports[key_slot(key.encode())]


async def test_before_the_map_is_known_nothing_is_guessed(redis_stores: Platform) -> None:
    shards = connect_shards(redis_stores.settings())
    with pytest.raises(ShardUnavailable):
        shards.shard_of("p:{x}:VIEW")
    profiles = Profiles(shards)
    assert profiles.group([typed(wire_tag("x"))]) == [(None, [0])]
    (result,) = await profiles.write([typed(wire_tag("x"))])
    assert isinstance(result, ShardUnavailable)
    await shards.stop()


async def test_one_living_seed_is_enough(redis_stores: Platform) -> None:
    port = redis_stores.ports["redis"] + 2
    shards = RedisShards([("127.0.0.1", 1), ("127.0.0.1", port)])
    shards.start()
    async with asyncio.timeout(10):
        await shards.wait_ready()
    assert len(shards.shards) == 3
    await shards.stop()


async def test_a_slot_that_moved_is_followed(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    source, target = shards.shards[0], shards.shards[1]
    cookie = next(cookies_on(shards, source))
    slot = key_slot(profile_key(cookie, "VIEW").encode())
    source_port, target_port = source.master.port, target.master.port
    move_slot(slot, source_port, target_port)

    tag = typed(wire_tag(cookie))
    # The old owner says MOVED: that is no success, and makes the map be asked for again.
    (first,) = await profiles.write([tag])
    assert isinstance(first, ShardUnavailable)
    assert "MOVED" in str(first)

    async def written() -> bool:
        return await profiles.write([tag]) == [None]

    await eventually(written, 3)
    assert shards.shard_of(profile_key(cookie, "VIEW")).master.port == target_port
    assert admin_of(target_port).zcard(profile_key(cookie, "VIEW")) == 1
    assert (await profiles.read(query(cookie), Deadline.after(1))).views == [tag]


async def test_a_read_follows_a_slot_that_moved_within_its_deadline(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    source, target = shards.shards[1], shards.shards[2]
    cookie = next(cookies_on(shards, source))
    slot = key_slot(profile_key(cookie, "VIEW").encode())
    target_port = target.master.port
    move_slot(slot, source.master.port, target_port)
    answer = await profiles.read(query(cookie), Deadline.after(2))
    assert (answer.views, answer.buys) == ([], [])


async def test_a_killed_node_takes_nobody_else_with_it(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    dead, *others = shards.shards
    alive = [typed(wire_tag(next(cookies_on(shards, shard)))) for shard in others]
    lost = typed(wire_tag(next(cookies_on(shards, dead))))
    kill(redis_stores, part_of(redis_stores, dead))

    async def refused() -> bool:
        lost_result, *results = await profiles.write([lost, *alive])
        assert results == [None, None]
        return isinstance(lost_result, ShardUnavailable)

    await eventually(refused, every_s=0.001)

    async def back() -> bool:
        return await profiles.write([lost]) == [None]

    await eventually(back)
    assert (await profiles.read(query(lost.cookie), Deadline.after(1))).views == [lost]


async def test_a_silent_node_is_refused_in_time_and_used_again(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    shard, other = shards.shards[1], shards.shards[2]
    silent = typed(wire_tag(next(cookies_on(shards, shard))))
    alive = typed(wire_tag(next(cookies_on(shards, other))))
    loop = asyncio.get_running_loop()
    with stopped(redis_stores, part_of(redis_stores, shard)):
        started = loop.time()
        results = await profiles.write([silent, alive])
        assert loop.time() - started < 0.5
        assert isinstance(results[0], ShardUnavailable)
        assert results[1] is None
        with pytest.raises(Unavailable) as caught:
            await profiles.read(query(silent.cookie), Deadline.after(0.3))
        assert caught.value.status == 503
        assert (await profiles.read(query(alive.cookie), Deadline.after(1))).views == [alive]

    async def back() -> bool:
        return await profiles.write([silent]) == [None]

    await eventually(back, 5)


async def test_reads_fall_back_to_a_replica_and_writes_do_not(
    shards: RedisShards, profiles: Profiles
) -> None:
    shard = shards.shards[0]
    tag = typed(wire_tag(next(cookies_on(shards, shard))))
    await profiles.write_shard(shard, [tag])
    nobody = RedisNode("127.0.0.1", 1, credentials=Credentials())
    replica = RedisNode("127.0.0.1", shard.master.port, credentials=Credentials(), replica=True)
    half = Shard(nobody, [nobody, replica])
    count = ("ZCARD", profile_key(tag.cookie, "VIEW"))
    assert await shards.on_any(half, [count]) == [1]
    with pytest.raises(ShardUnavailable):
        await shards.on_master(half, [count])
    with pytest.raises(ShardUnavailable):
        await shards.on_any(Shard(nobody, [nobody]), [count])
    replica.close()


def test_a_list_of_nodes() -> None:
    assert parse_nodes("a:1, b.c:22,,[::1]:3") == [("a", 1), ("b.c", 22), ("[::1]", 3)]
    for text in ("a", ":1", "a:b"):
        with pytest.raises(ValueError, match=r"host:port|invalid literal"):
            parse_nodes(text)
