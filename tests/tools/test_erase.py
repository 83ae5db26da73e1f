"""The command: an erased cookie is gone from Redis and does not come back from the log."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.contract.api import Api, Minutes, new_cookie
from tests.tags import new_tag
from tests.tools.conftest import Tools
from tests.waiting import eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]

MINUTES = Minutes(datetime(2020, 5, 1))


async def test_erased_for_good(tools: Tools, api: Api, key: Callable[[str, str], str]) -> None:
    """With a name that JSON escapes, and a neighbour that stays."""
    cookie, neighbour = f'né"{new_cookie()}', new_cookie()
    await api.accept(
        new_tag(name, MINUTES.time(0, number), action=action, product_id=number)
        for name in (cookie, neighbour)
        for number, action in enumerate(["VIEW", "VIEW", "BUY"])
    )
    ended = await tools.run("actors.tools.erase", "--json", "--scan", "--", cookie)
    assert ended.status == 0, ended.output + ended.errors
    done = ended.document
    assert done["removed"] == 3
    assert done["pending"] == []
    tags, letters = done["log"]
    assert (tags["records"], letters["records"]) == (3, 0)
    gone = datetime.fromisoformat(tags["gone_latest"])
    newest = datetime.fromisoformat(tags["newest_arrival"])
    assert gone - newest >= timedelta(milliseconds=tags["retention_ms"])
    empty = {"cookie": cookie, "views": [], "buys": []}
    assert await api.profile(cookie, MINUTES.range()) == empty
    await api.check_profile(neighbour, MINUTES.range())

    # Neither does applying the whole log again bring it back; and verify knows that it was erased.
    again = await tools.run("actors.tools.rebuild", "profiles")
    assert again.status == 0, again.errors
    assert "positions forgotten" in again.output
    assert await api.profile(cookie, MINUTES.range()) == empty
    verified = await tools.verify("--all", "--no-aggregates")
    assert verified.status == 0, verified.output
    assert verified.document["erasures"] >= len(done["recorded"])

    # What comes after is a new life.
    later = new_tag(cookie, MINUTES.time(2), product_id=5)
    assert (await api.post_tag(later)).status_code == 204
    again = await tools.run("actors.tools.rebuild", "profiles")
    assert again.status == 0, again.errors
    assert (await api.profile(cookie, MINUTES.range()))["views"] == [later]
    with tools.redis() as redis:
        assert redis.pttl(key(cookie, "erased")) > tags["retention_ms"]


async def test_says_that_it_is_not_done(tools: Tools, api: Api) -> None:
    """An unreachable Redis does not prevent an erasure."""
    cookie = new_cookie()
    await api.accept([new_tag(cookie, MINUTES.time(3))])
    nowhere = {"TAGS_REDIS_NODES": "127.0.0.1:1"}
    ended = await tools.run("actors.tools.erase", cookie, "--wait", "0", settings=nowhere)
    assert ended.status == 1
    assert "an unknown number of tags removed" in ended.output
    assert "not yet done" in ended.output
    assert "the actors will do it" in ended.output
    assert "aggregates hold no cookie" in ended.output

    async def gone() -> bool:
        return bool((await api.profile(cookie, MINUTES.range()))["views"] == [])

    await eventually(gone)


async def test_a_log_that_is_away(tools: Tools) -> None:
    nowhere = {"TAGS_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    ended = await tools.run("actors.tools.erase", new_cookie(), settings=nowhere)
    assert ended.status == 2
    assert "safe to run this again" in ended.errors
    assert "Traceback" not in ended.errors


async def test_a_cookie_that_nobody_has(tools: Tools) -> None:
    ended = await tools.run("actors.tools.erase", "--json", new_cookie())
    assert ended.status == 0
    assert ended.document["removed"] == 0
    assert [kept["records"] for kept in ended.document["log"]] == [None, None]
    ended = await tools.run("actors.tools.erase", "x" * 129)
    assert ended.status == 2
    assert "1 to 128 characters" in ended.errors
