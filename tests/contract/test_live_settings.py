"""Settings that change while requests are in flight; the tests use them to force overload."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from serve_app.core.names import CASE12_APP
from setup.local.platform import Platform
from tests.contract.api import Api, Minutes, check_problem, new_cookie
from tests.marks import second_tier
from tests.tags import new_tag
from tests.waiting import eventually

pytestmark = [
    second_tier,
    pytest.mark.skipif("TAGS_TEST_API" in os.environ, reason="changes settings of the platform"),
]

FULL = {
    "ingest_max_busy": 0,
    "ingest_min_own_work": 0,
    "ingest_min_under_way": 0,
    "ingest_target_s": 0,
}
"""Settings with which every replica counts as overloaded."""

Deploy = Callable[[dict[str, Any]], Awaitable[None]]


def replicas(platform: Platform) -> dict[str, Any]:
    """Process id by id of the serving replicas."""
    deployment = platform.ray.applications()[CASE12_APP]["deployments"][CASE12_APP]
    return {
        one["replica_id"]: one["pid"] for one in deployment["replicas"] if one["state"] == "RUNNING"
    }


@pytest_asyncio.fixture
async def deploy(platform: Platform) -> AsyncIterator[Deploy]:
    """Deploys a ``user_config`` as ``serve deploy`` does; restores the platform's own."""
    own = platform.ray.serve_file.read_text()

    async def deploy(user_config: dict[str, Any]) -> None:
        config = yaml.safe_load(own)
        for application in config["applications"]:
            if application["name"] == CASE12_APP:
                application["deployments"][0]["user_config"].update(user_config)
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.put(
                f"{platform.ray.dashboard_url}/api/serve/applications/", json=config
            )
        assert answer.status_code == 200, answer.text

    async def running() -> bool:
        application = await asyncio.to_thread(platform.ray.applications)
        return bool(application[CASE12_APP]["status"] == "RUNNING")

    yield deploy
    await deploy({})
    await eventually(running, 60)


def tags_for(minutes: Minutes, count: int) -> list[dict[str, Any]]:
    cookie = new_cookie()
    return [new_tag(cookie, minutes.time(*divmod(at, 1_000))) for at in range(count)]


async def test_too_much_is_refused_at_once_and_stored_nowhere(
    api: Api, minutes: Minutes, platform: Platform, deploy: Deploy
) -> None:
    before = await asyncio.to_thread(replicas, platform)
    await deploy(FULL)

    async def send(tag: dict[str, Any]) -> httpx.Response:
        answer = await api.post_tag(tag)
        if answer.status_code == 204:
            api.oracle.accept(tag)
        return answer

    remaining = tags_for(minutes, 4_000)
    answers: list[httpx.Response] = []

    async def refused_of_60() -> int:
        # In parallel, so that every replica gets some.
        answers.extend(await asyncio.gather(*(send(remaining.pop()) for _ in range(60))))
        return sum(answer.status_code == 503 for answer in answers[-60:])

    async def most_refused() -> bool:
        # Replicas apply the change one after the other.
        return await refused_of_60() >= 50

    await eventually(most_refused, 60, every_s=1)
    refused = [answer for answer in answers if answer.status_code != 204]
    for answer in refused:
        check_problem(answer, 503)
        assert answer.headers["retry-after"] == "1"
        assert json.loads(answer.content)["retry_after_s"] == 1
    assert max(answer.elapsed.total_seconds() for answer in refused) < 5
    assert await asyncio.to_thread(replicas, platform) == before

    await deploy({})

    async def all_accepted() -> bool:
        return await refused_of_60() == 0

    await eventually(all_accepted, 60, every_s=0.5)
    cookie = remaining[0]["cookie"]
    await api.check_profile(cookie, minutes.range())
    await api.check_aggregates(minutes.range())


async def test_settings_that_cannot_change_live_are_named_and_nothing_stops(
    api: Api, minutes: Minutes, platform: Platform, deploy: Deploy
) -> None:
    await deploy({"kafka_bootstrap": "nowhere:1"})

    def message() -> str:
        application = platform.ray.applications()[CASE12_APP]
        return json.dumps(application)

    async def named() -> bool:
        return "kafka_bootstrap cannot change live" in await asyncio.to_thread(message)

    await eventually(named, 60)
    await api.accept(tags_for(minutes, 50))
