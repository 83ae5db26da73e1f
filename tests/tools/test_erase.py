"""An erased cookie is gone from Redis and does not come back from the log."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from serve_app.stores.kafka_clients import connection_options
from tests.contract.api import Api, Minutes, new_cookie
from tests.tags import new_tag
from tests.tools.conftest import Tools

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]

MINUTES = Minutes(datetime(2020, 5, 1))


async def test_erased_for_good(tools: Tools, api: Api, key: Callable[[str, str], str]) -> None:
    """With an owed tag on its way, a name that JSON escapes, and a neighbour that stays."""
    cookie, neighbour = f'né"{new_cookie()}', new_cookie()
    await api.accept(
        new_tag(name, MINUTES.time(0, number), action=action, product_id=number)
        for name in (cookie, neighbour)
        for number, action in enumerate(["VIEW", "VIEW", "BUY"])
    )
    await owe(tools, new_tag(cookie, MINUTES.time(1), product_id=77))
    ended = await tools.run("actors.tools.erase", "--json", "--wait", "150", "--", cookie)
    assert ended.status == 0, ended.output + ended.errors
    done = ended.document
    assert done["removed"] in (3, 4)  # the owed one may have been written already
    assert done["pending"] == []
    tags, repairs, letters = done["log"]
    assert (tags["records"], repairs["records"], letters["records"]) == (3, 1, 0)
    arrived = datetime.fromisoformat(tags["newest_arrival"])
    gone = datetime.fromisoformat(tags["gone_earliest"])
    assert gone - arrived == timedelta(milliseconds=tags["retention_ms"])
    assert datetime.fromisoformat(tags["gone_latest"]) > gone
    empty = {"cookie": cookie, "views": [], "buys": []}
    assert await api.profile(cookie, MINUTES.range()) == empty
    await api.check_profile(neighbour, MINUTES.range())

    # Neither does applying the whole log again bring it back; and verify knows that it was erased.
    again = await tools.run("actors.tools.rebuild", "profiles")
    assert again.status == 0, again.errors
    assert "of erased cookies" in again.output
    assert await api.profile(cookie, MINUTES.range()) == empty
    verified = await tools.verify("--all", "--no-aggregates")
    assert verified.status == 0, verified.output

    # What comes after is a new life.
    later = new_tag(cookie, MINUTES.time(2), product_id=5)
    assert (await api.post_tag(later)).status_code == 204
    assert (await api.profile(cookie, MINUTES.range()))["views"] == [later]
    again = await tools.run("actors.tools.rebuild", "profiles", "--newest", "100")
    assert again.status == 0, again.errors
    assert (await api.profile(cookie, MINUTES.range()))["views"] == [later]
    with tools.redis() as redis:
        assert redis.pttl(key(cookie, "erased")) > tags["retention_ms"]


async def test_says_that_it_may_come_back(tools: Tools, api: Api) -> None:
    """Without waiting, a replay could still bring a tag of the last minute back."""
    cookie = new_cookie()
    await api.accept([new_tag(cookie, MINUTES.time(3))])
    ended = await tools.run("actors.tools.erase", cookie, "--wait", "0")
    assert ended.status == 1
    assert "1 tags removed" in ended.output
    assert "not for good yet" in ended.output
    assert "aggregates hold no cookie" in ended.output


async def test_a_cookie_that_nobody_has(tools: Tools) -> None:
    ended = await tools.run("actors.tools.erase", "--json", new_cookie())
    assert ended.status == 0
    assert ended.document["removed"] == 0
    assert [traces["records"] for traces in ended.document["log"]] == [0, 0, 0]
    ended = await tools.run("actors.tools.erase", "x" * 129)
    assert ended.status == 2
    assert "1 to 128 characters" in ended.errors


async def owe(tools: Tools, tag: object) -> None:
    """As a replica does that Redis does not answer; with non-ASCII letters escaped."""
    producer = AIOKafkaProducer(**connection_options(tools.stores))
    await producer.start()
    try:
        await producer.send_and_wait("profile_repairs", json.dumps(tag).encode(), partition=0)
    finally:
        await producer.stop()
