"""Profiles in a real cluster against the oracle: the newest 200, exactly as sent."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
import redis

from serve_app.core.answer import ProfileAnswer
from serve_app.core.names import profile_key
from serve_app.core.query import ProfileQuery
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_shards import RedisShards
from tests.oracle import Oracle, Tag, same_profile
from tests.tags import FIRST_MS, new_cookie, placed, time_text, wire_tag


async def write(profiles: Profiles, tags: list[Tag]) -> None:
    for start in range(0, len(tags), 50):
        await profiles.write([placed(tag) for tag in tags[start : start + 50]])


async def read(
    profiles: Profiles, cookie: str, start: int = 0, end: int = 600_000, limit: int = 200
) -> dict[str, Any]:
    """Times in ms after `FIRST_MS`."""
    query = ProfileQuery(cookie, FIRST_MS + start, FIRST_MS + end, limit)
    _, answer = await profiles.read(query)
    assert isinstance(answer, ProfileAnswer)
    return dict(msgspec.json.decode(msgspec.json.encode(answer)))


def time_range(start: int, end: int) -> str:
    return f"{time_text(FIRST_MS + start)[:-1]}_{time_text(FIRST_MS + end)[:-1]}"


@pytest.mark.parametrize("seed", range(4))
async def test_any_tags_in_any_order_are_answered_as_the_oracle_does(
    profiles: Profiles, seed: int
) -> None:
    rng = random.Random(seed)
    cookie = new_cookie()
    count = (5, 150, 300, 700)[seed]
    tags = [
        wire_tag(
            cookie,
            FIRST_MS + time_ms,
            action=rng.choice(["VIEW", "BUY"]),
            device=rng.choice(["PC", "MOBILE", "TV"]),
            product_id=rng.choice([0, time_ms, str(time_ms)]),
            price=rng.choice([0, -(2**31), 2**31 - 1, time_ms]),
            brand_id=rng.choice(["a_b", "ż" * 128, "Nike "]),
        )
        for time_ms in rng.sample(range(100_000), count)
    ]
    await write(profiles, tags)
    oracle = Oracle(tags)
    for _ in range(30):
        start, end = sorted(rng.sample(range(0, 110_000), 2))
        limit = rng.choice([0, 1, 2, 50, 199, 200, 1_000])
        expected = oracle.profile(cookie, time_range(start, end), limit)
        assert await read(profiles, cookie, start, end, limit) == expected


async def test_the_newest_200_by_event_time_are_kept_whatever_the_arrival(
    profiles: Profiles, shards: RedisShards
) -> None:
    cookie = new_cookie()
    times = list(range(0, 1_000))
    random.Random(7).shuffle(times)
    tags = [wire_tag(cookie, FIRST_MS + time_ms) for time_ms in times]
    await write(profiles, tags)
    answer = await read(profiles, cookie)
    assert [tag["time"] for tag in answer["views"]] == [
        time_text(FIRST_MS + time_ms) for time_ms in range(999, 799, -1)
    ]
    # A late old tag displaces nothing.
    await write(profiles, [wire_tag(cookie, FIRST_MS)])
    assert await read(profiles, cookie) == answer
    assert (await read(profiles, cookie, 0, 1))["views"] == []

    key = profile_key(cookie, "VIEW")
    admin = redis.Redis("127.0.0.1", shards.shard_of(key).master.port)
    assert admin.zcard(key) == 200
    # 87 bytes per tag; a skiplist takes four times as much, and is never converted back.
    assert admin.object("ENCODING", key) == b"listpack"


async def test_one_script_of_a_thousand_tags_leaves_a_listpack(
    profiles: Profiles, shards: RedisShards
) -> None:
    cookie = new_cookie()
    tags = [placed(wire_tag(cookie, FIRST_MS + n, brand_id="x" * 128)) for n in range(1_000)]
    await profiles.write(tags)
    key = profile_key(cookie, "VIEW")
    admin = redis.Redis("127.0.0.1", shards.shard_of(key).master.port)
    assert (admin.zcard(key), admin.object("ENCODING", key)) == (200, b"listpack")


async def test_the_same_tag_twice_is_there_once(profiles: Profiles) -> None:
    cookie = new_cookie()
    tag = wire_tag(cookie, FIRST_MS + 1)
    other = wire_tag(cookie, FIRST_MS + 1, product_id="12486")
    await write(profiles, [tag, tag])
    await write(profiles, [tag])
    assert (await read(profiles, cookie))["views"] == [tag]
    await write(profiles, [other])
    expected = Oracle([tag, other]).profile(cookie, time_range(0, 2))
    assert same_profile(await read(profiles, cookie), expected)


async def test_ties_are_all_kept_and_cut_to_the_limit(profiles: Profiles) -> None:
    cookie = new_cookie()
    tags = [wire_tag(cookie, FIRST_MS + 5, product_id=n) for n in range(30)]
    tags += [wire_tag(cookie, FIRST_MS + 6), wire_tag(cookie, FIRST_MS + 4)]
    await write(profiles, tags)
    answer = await read(profiles, cookie)
    assert same_profile(answer, Oracle(tags).profile(cookie, time_range(0, 10)))
    cut = (await read(profiles, cookie, limit=10))["views"]
    assert len(cut) == 10
    assert cut[0] == tags[30]
    assert all(tag in tags[:30] for tag in cut[1:])
    assert cut == answer["views"][:10]


async def test_ranges_begin_inside_and_end_outside(profiles: Profiles) -> None:
    cookie = new_cookie()
    await write(profiles, [wire_tag(cookie, FIRST_MS + at) for at in (999, 1_000, 1_001)])

    async def times(start: int, end: int) -> list[str]:
        return [tag["time"][17:-1] for tag in (await read(profiles, cookie, start, end))["views"]]

    assert await times(999, 1_001) == ["01", "00.999"]
    assert await times(1_000, 1_001) == ["01"]
    assert await times(1_000, 1_000) == []
    assert await times(1_001, 1_002) == ["01.001"]
    assert await times(1_002, 1_001) == []


@pytest.mark.parametrize("limit", [0, 200])
async def test_an_unknown_cookie_has_two_empty_lists(profiles: Profiles, limit: int) -> None:
    cookie = new_cookie()
    answer = await read(profiles, cookie, limit=limit)
    assert answer == {"cookie": cookie, "views": [], "buys": []}


@pytest.mark.parametrize("shape", ["}{}", "{{}}{}", "%7D{}", "a}b{}", "{}ż\x00 /?"])
async def test_awkward_cookies_have_profiles_of_their_own(profiles: Profiles, shape: str) -> None:
    cookie = shape.replace("{}", "{}" + new_cookie(), 1)
    tags = [wire_tag(cookie), wire_tag(cookie, action="BUY")]
    await write(profiles, tags)
    answer = await read(profiles, cookie)
    assert answer == {"cookie": cookie, "views": [tags[0]], "buys": [tags[1]]}
    unescaped = cookie.replace("%7D", "}") if "%7D" in cookie else cookie.replace("}", "%7D")
    assert (await read(profiles, unescaped))["views"] == []


async def test_whole_seconds_come_back_in_the_shape_they_had(profiles: Profiles) -> None:
    cookie = new_cookie()
    tags = [
        wire_tag(cookie, time=f"2022-03-01T00:00:0{n}{z}") for n in (1, 2) for z in ("Z", ".000Z")
    ]
    await write(profiles, tags)
    assert same_profile(
        await read(profiles, cookie), Oracle(tags).profile(cookie, time_range(0, 9_000))
    )


async def test_writers_side_by_side_do_not_disturb_each_other(profiles: Profiles) -> None:
    cookie = new_cookie()
    tags = [wire_tag(cookie, FIRST_MS + n, action=("VIEW", "BUY")[n % 2]) for n in range(600)]
    await asyncio.gather(*(write(profiles, tags[start::20]) for start in range(20)))
    assert await read(profiles, cookie) == Oracle(tags).profile(cookie, time_range(0, 600))
