"""The map of a real cluster: learned, followed when slots move, and usable in part."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial

import pytest
import redis
from redis.crc import key_slot

from serve_app.core.errors import StoreAway
from serve_app.core.names import cookie_slot, profile_key
from serve_app.core.query import ProfileQuery
from serve_app.stores.profiles import Placed, Profiles
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_node import Credentials, RedisNode
from serve_app.stores.redis_shards import (
    RedisShards,
    Shard,
    ShardRefuses,
    ShardUnavailable,
    parse_nodes,
)
from setup.local.platform import Platform
from tests.stores.conftest import kill, stopped
from tests.tags import FIRST_MS, new_cookie, placed, wire_tag
from tests.waiting import eventually


def admin_of(port: int) -> redis.Redis:
    return redis.Redis("127.0.0.1", port)


def move_slot(slot: int, source_port: int, target_port: int) -> None:
    """Assign an empty slot to another node, unnoticed by clients."""
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


async def is_there(profiles: Profiles, tag: Placed) -> bool:
    """Whether a read finds exactly ``tag``."""
    _, answer = await profiles.read(query(tag.tag.cookie))
    return list(answer.views) == [tag.tag]


async def is_written(profiles: Profiles, tag: Placed) -> bool:
    """Write again; whether a read finds exactly ``tag``."""
    await profiles.write([tag])
    try:
        return await is_there(profiles, tag)
    except StoreAway:
        return False


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
    assert shards.group(["p:{x}:VIEW"]) == [(None, [0])]
    # Left to the actors.
    await profiles.write([placed(wire_tag("x"))])
    with pytest.raises(StoreAway, match="not known yet"):
        await profiles.read(query("x"))
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

    tag = placed(wire_tag(cookie))
    moved_s = time.monotonic()
    # The old owner replies MOVED: a failure, which triggers a refresh of the map.
    with pytest.raises(ShardUnavailable, match="MOVED"):
        await shards.on_master(source, [("ZCARD", profile_key(cookie, "VIEW"))])
    # A reader without the log must know this: a write may have been refused.
    assert profiles.trouble_s(cookie) >= moved_s
    await eventually(partial(is_written, profiles, tag), 3)
    assert shards.shard_of(profile_key(cookie, "VIEW")).master.port == target_port
    assert admin_of(target_port).zcard(profile_key(cookie, "VIEW")) == 1


async def test_a_read_follows_a_slot_that_moved(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    source, target = shards.shards[1], shards.shards[2]
    cookie = next(cookies_on(shards, source))
    slot = key_slot(profile_key(cookie, "VIEW").encode())
    target_port = target.master.port
    move_slot(slot, source.master.port, target_port)
    with pytest.raises(StoreAway, match="MOVED"):
        await profiles.read(query(cookie))
    await profiles.refresh(2)
    _, answer = await profiles.read(query(cookie))
    assert (answer.views, answer.buys) == ([], [])


async def test_a_killed_node_takes_nobody_else_with_it(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    dead, *others = shards.shards
    alive = [placed(wire_tag(next(cookies_on(shards, shard)))) for shard in others]
    lost = placed(wire_tag(next(cookies_on(shards, dead))))
    killed_s = time.monotonic()
    kill(redis_stores, part_of(redis_stores, dead))

    async def refused() -> bool:
        await profiles.write([lost, *alive])
        for tag in alive:
            assert await is_there(profiles, tag)
        return shards.trouble_s(cookie_slot(lost.tag.cookie)) >= killed_s

    await eventually(refused, every_s=0.001)
    assert all(shards.trouble_s(cookie_slot(one.tag.cookie)) < killed_s for one in alive)
    await eventually(partial(is_written, profiles, lost))


async def test_a_silent_node_is_refused_in_time_and_used_again(
    shards: RedisShards, profiles: Profiles, redis_stores: Platform
) -> None:
    shard, other = shards.shards[1], shards.shards[2]
    silent = placed(wire_tag(next(cookies_on(shards, shard))))
    alive = placed(wire_tag(next(cookies_on(shards, other))))
    loop = asyncio.get_running_loop()
    with stopped(redis_stores, part_of(redis_stores, shard)):
        started = loop.time()
        await profiles.write([silent, alive])
        with pytest.raises(StoreAway):
            await profiles.read(query(silent.tag.cookie))
        assert loop.time() - started < 0.5
        assert await is_there(profiles, alive)
    await eventually(partial(is_written, profiles, silent), 5)


async def test_reads_fall_back_to_a_replica_and_writes_do_not(
    shards: RedisShards, profiles: Profiles
) -> None:
    shard = shards.shards[0]
    tag = placed(wire_tag(next(cookies_on(shards, shard))))
    await profiles.write([tag])
    nobody = RedisNode("127.0.0.1", 1, credentials=Credentials())
    replica = RedisNode("127.0.0.1", shard.master.port, credentials=Credentials(), replica=True)
    half = Shard(nobody, [nobody, replica])
    count = ("ZCARD", profile_key(tag.tag.cookie, "VIEW"))
    assert await shards.on_any(shard, [count]) == (True, [1])
    assert await shards.on_any(half, [count]) == (False, [1])
    with pytest.raises(ShardUnavailable):
        await shards.on_master(half, [count])
    with pytest.raises(ShardUnavailable):
        await shards.on_any(Shard(nobody, [nobody]), [count])
    replica.close()


async def test_an_error_that_stays_is_told_apart(shards: RedisShards, profiles: Profiles) -> None:
    shard = shards.shards[0]
    cookie = next(cookies_on(shards, shard))
    key = profile_key(cookie, "VIEW")
    await shards.on_master(shard, [("SET", key, "no sorted set")])
    with pytest.raises(ShardRefuses, match="WRONGTYPE"):
        await shards.on_master(shard, [("ZCARD", key)])
    # One key of a wrong type does not affect other tags of the batch.
    good = placed(wire_tag(next(cookies_on(shards, shard))))
    await profiles.write([placed(wire_tag(cookie)), good])
    assert await is_there(profiles, good)


async def test_a_node_that_forgot_its_scripts_gets_them_again(
    shards: RedisShards, profiles: Profiles
) -> None:
    for shard in shards.shards:
        admin_of(shard.master.port).script_flush()
    await eventually(partial(is_written, profiles, placed(wire_tag(new_cookie()))), 5)


async def test_a_slot_that_is_about_to_move_is_not_settled(
    shards: RedisShards, redis_stores: Platform
) -> None:
    """A replica does not know; the importing master does, before the first key arrives."""
    source, target = shards.shards[0], shards.shards[1]
    slot = source.slots[-1][1]
    await shards.check_settled(source, slot)
    source_port, target_port = source.master.port, target.master.port
    admin_of(target_port).cluster("SETSLOT", slot, "IMPORTING", source.node_id)
    try:
        with pytest.raises(ShardUnavailable, match=f"slot {slot} is moving"):
            await shards.check_settled(source, slot)
        await shards.check_settled(source, slot - 1)
    finally:
        admin_of(target_port).cluster("SETSLOT", slot, "STABLE")
    await shards.check_settled(source, slot)
    move_slot(slot, source_port, target_port)
    try:
        with pytest.raises(ShardUnavailable, match=f"slot {slot} is moving"):
            await shards.check_settled(source, slot)
    finally:
        move_slot(slot, target_port, source_port)


def test_a_list_of_nodes() -> None:
    assert parse_nodes("a:1, b.c:22,,[::1]:3") == [("a", 1), ("b.c", 22), ("[::1]", 3)]
    for text in ("a", ":1", "a:b"):
        with pytest.raises(ValueError, match=r"host:port|invalid literal"):
            parse_nodes(text)
