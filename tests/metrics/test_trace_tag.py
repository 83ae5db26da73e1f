"""One tag followed by the id of its request: header, log, profile, aggregates."""

import json
import time
import uuid
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest
import pytest_asyncio
from redis.crc import key_slot

from actors.tools.trace_tag import Path, by_request_id, by_tag, trace
from serve_app.core.names import profile_key
from setup.local.platform import Platform
from tests.contract.api import new_cookie
from tests.tags import new_tag
from tests.waiting import eventually

TIME = "2022-03-04T00:00:00.500Z"


@pytest_asyncio.fixture
async def http(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=platform.ray.url, timeout=30) as client:
        yield client


@pytest.fixture
def since_ms() -> int:
    return int(time.time() * 1000) - 1000


def outcome(path: Path, place: str) -> str:
    return next(step.outcome for step in path.steps if place in step.place)


async def post(http: httpx.AsyncClient, cookie: str, **headers: str) -> httpx.Response:
    body = json.dumps(new_tag(cookie, TIME)).encode()
    answer = await http.post("/user_tags", content=body, headers=headers)
    assert answer.status_code == 204, answer.text
    return answer


async def test_the_clients_id_comes_back_and_finds_the_tag(
    platform: Platform, http: httpx.AsyncClient, since_ms: int
) -> None:
    mine = f"test {uuid.uuid4()}"
    answer = await post(http, new_cookie(), **{"X-Request-ID": mine})
    assert answer.headers["x-request-id"] == mine
    settings = platform.settings()

    async def counted() -> bool:
        (path,) = await trace(settings, by_request_id(mine), since_ms)
        return outcome(path, "MySQL").startswith("counted")

    await eventually(counted)
    (path,) = await trace(settings, by_request_id(mine), since_ms)
    assert path.request_id == mine
    assert outcome(path, "user_tags").startswith("partition ")
    assert outcome(path, "profile in Redis").startswith("there")

    async def applied() -> bool:
        (path,) = await trace(settings, by_request_id(mine), since_ms)
        return outcome(path, "position in Redis").startswith("applied")

    await eventually(applied)


async def test_an_id_is_made_for_who_sends_none(
    platform: Platform, http: httpx.AsyncClient, since_ms: int
) -> None:
    cookie = new_cookie()
    made = (await post(http, cookie)).headers["x-request-id"]

    async def found_alike() -> bool:
        # A flush between the two questions makes their answers differ.
        (path,) = await trace(platform.settings(), by_request_id(made), since_ms)
        return await trace(platform.settings(), by_tag(cookie, TIME), since_ms) == [path]

    await eventually(found_alike)


async def test_nothing_is_found_where_nothing_is(platform: Platform, since_ms: int) -> None:
    assert await trace(platform.settings(), by_request_id("nobody"), since_ms) == []


async def test_a_tag_that_redis_is_behind_with(
    platform: Platform, http: httpx.AsyncClient, since_ms: int
) -> None:
    cookie = new_cookie()
    settings = platform.settings()
    masters = platform.stack.redis_masters
    # Slots are dealt to the masters in thirds.
    number = key_slot(profile_key(cookie, "VIEW").encode()) * masters // 16_384 + 1
    node = psutil.Process(platform.supervisor.states()[f"redis-{number}"].pid)
    node.suspend()
    try:
        made = (await post(http, cookie)).headers["x-request-id"]
        (path,) = await trace(settings, by_request_id(made), since_ms)
        assert outcome(path, "position in Redis").startswith("unknown: ")
        assert outcome(path, "profile in Redis").startswith("unknown: ")
    finally:
        node.resume()

    async def applied() -> bool:
        (path,) = await trace(settings, by_request_id(made), since_ms)
        return outcome(path, "position in Redis").startswith("applied: shard ")

    await eventually(applied, timeout_s=30, every_s=0.5)
    (path,) = await trace(settings, by_request_id(made), since_ms)
    assert outcome(path, "profile in Redis") == "there"


async def test_a_tag_that_200_newer_ones_displace(
    platform: Platform, http: httpx.AsyncClient, since_ms: int
) -> None:
    cookie = new_cookie()
    settings = platform.settings()
    made = (await post(http, cookie)).headers["x-request-id"]
    for number in range(200):
        body = json.dumps(new_tag(cookie, f"2022-03-04T00:00:01.{number:03d}Z")).encode()

        async def taken(body: bytes = body) -> bool:
            # A busy machine may refuse some.
            return (await http.post("/user_tags", content=body)).status_code == 204

        await eventually(taken)

    async def trimmed() -> bool:
        (path,) = await trace(settings, by_request_id(made), since_ms)
        return outcome(path, "profile in Redis").startswith("trimmed")

    await eventually(trimmed)
