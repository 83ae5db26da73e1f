"""Verify finds damage of every kind, and rebuild repairs it, on the complete platform."""

import asyncio
import random
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.contract.api import Api, Minutes, new_cookie
from tests.oracle import Tag
from tests.tags import new_tag
from tests.tools.conftest import Tools
from tests.waiting import eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]


def some_tags(cookie: str, count: int, minutes: Minutes) -> list[Tag]:
    rng = random.Random(cookie)
    return [
        new_tag(
            cookie if number % 3 else new_cookie(),
            minutes.time(number % 4, number % 1000),
            action=rng.choice(["VIEW", "BUY"]),
            brand_id=f"brand [b]{number % 5}",
            price=rng.randrange(-1000, 1000),
            product_id=number,
        )
        for number in range(count)
    ]


@pytest.fixture
def minutes() -> Minutes:
    """A time that nobody else uses."""
    return Minutes(datetime(2021, 1, 1) + timedelta(minutes=12 * random.randrange(20_000)))


async def send(api: Api, tags: list[Tag]) -> None:
    """All of them; what a busy machine refuses (503, stored nowhere) is sent again."""
    for tag in tags:

        async def taken(tag: Tag = tag) -> bool:
            answer = await api.post_tag(tag)
            assert answer.status_code in (204, 503), answer.text
            return answer.status_code == 204

        await eventually(taken, every_s=0.5)
        api.oracle.accept(tag)


async def counted(tools: Tools, api: Api, minutes: Minutes, total: int) -> None:
    """Wait until all tags of the test are in MySQL."""

    async def there() -> bool:
        answers = [
            await api.aggregates(minutes.range(), action, ["COUNT"]) for action in ("VIEW", "BUY")
        ]
        return sum(int(row[-1]) for answer in answers for row in answer["rows"]) == total

    await eventually(there, timeout_s=60)


async def test_damage_is_named_and_mended(
    tools: Tools, api: Api, minutes: Minutes, key: Callable[[str, str], str]
) -> None:
    cookie = new_cookie()
    await send(api, some_tags(cookie, 300, minutes))
    await counted(tools, api, minutes, 300)
    clean = await tools.verify("--all")
    assert clean.status == 0, clean.output + clean.errors
    assert clean.document["exact"]
    assert clean.document["tags"] >= 300

    bucket = int((minutes.start - datetime(1970, 1, 1)).total_seconds()) // 60
    ours = f"WHERE bucket = {bucket}"
    first = "ORDER BY brand_id, action, kafka_partition LIMIT 1"
    (deleted,) = tools.sql(f"SELECT * FROM aggregates {ours} {first}")
    tools.sql(f"DELETE FROM aggregates {ours} {first}")
    tools.sql(f"UPDATE rollups SET sum_price = sum_price + 5 {ours} AND dimension = 0")
    tools.sql("INSERT INTO rollups VALUES (7, 0, 0, 0, 0, 3, 30)")
    with tools.redis() as redis:
        stored: Any = redis.zrange(key(cookie, "VIEW"), 0, -1, withscores=True)
        lost, altered = stored[0], stored[1]
        # The last byte is the price's: another one, whatever it was.
        other = altered[0][:-1] + bytes([altered[0][-1] ^ 1])
        redis.zrem(key(cookie, "VIEW"), lost[0], altered[0])
        redis.zadd(key(cookie, "VIEW"), {other: altered[1]})

    found = await tools.verify("--all")
    assert found.status == 1, found.errors
    kinds = [difference["kind"] for difference in found.document["differences"]]
    totals = tools.sql(f"SELECT COUNT(*) FROM rollups {ours} AND dimension = 0")[0][0]
    assert kinds.count("aggregates") == 1
    assert kinds.count("rollups") == totals + 1
    assert kinds.count("profile") == 2
    missing = next(d for d in found.document["differences"] if d["kind"] == "aggregates")
    assert missing["stored"] == "no row"
    assert missing["expected"] == f"count {deleted[-2]}, sum {deleted[-1]}"
    assert "brand='brand [b]" in missing["where"]
    # For people, with what looks like markup in a name; and a range finds what it can.
    table = await tools.run("actors.tools.verify", "--all", "--no-profiles")
    assert table.status == 1
    assert "brand [b]" in table.output
    ranged = await tools.verify("--newest", "200", "--exact", "--no-profiles")
    assert ranged.status == 1
    assert {"aggregates", "rollups"} <= {d["kind"] for d in ranged.document["differences"]}

    # As a Ray job, while tags come in.
    more = some_tags(cookie, 60, Minutes(minutes.start + timedelta(minutes=5)))
    client = JobSubmissionClient(tools.platform.ray.dashboard_url)
    job = client.submit_job(
        entrypoint=f"{sys.executable} -m actors.tools.rebuild aggregates --compare"
    )
    await asyncio.sleep(1)
    await send(api, more)
    statuses = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED}

    async def ended() -> bool:
        return client.get_job_status(job) in statuses

    await eventually(ended, timeout_s=180)
    logs = client.get_job_logs(job)
    assert client.get_job_status(job) == JobStatus.SUCCEEDED, logs
    assert "swapped in" in logs
    assert "differences between old and new" in logs
    await counted(tools, api, minutes, 360)

    mended = await tools.run("actors.tools.rebuild", "profiles")
    assert mended.status == 0, mended.errors
    left = await tools.verify("--all")
    # What was added to Redis out of nothing is not taken away by applying the log again.
    assert [d["kind"] for d in left.document["differences"]] == ["profile"], left.output
    with tools.redis() as redis:
        redis.zrem(key(cookie, "VIEW"), other)
    again = await tools.verify("--all")
    assert again.status == 0, again.output
    await api.check_profile(cookie, minutes.range(), 200)


async def test_no_difference_under_load(tools: Tools, api: Api, minutes: Minutes) -> None:
    finished = asyncio.Event()

    async def load() -> None:
        while not finished.is_set():
            for tag in some_tags(new_cookie(), 20, minutes):
                # A busy machine may refuse some, which then are nowhere.
                assert (await api.post_tag(tag)).status_code in (204, 503)

    loading = asyncio.create_task(load())
    try:
        for arguments in (["--all"], ["--newest", "100"], ["--newest", "100", "--exact"]):
            ended = await tools.verify(*arguments)
            assert ended.status == 0, ended.output + ended.errors
    finally:
        finished.set()
        await loading


async def test_profiles_are_rebuilt_under_load(
    tools: Tools, api: Api, minutes: Minutes, key: Callable[[str, str], str]
) -> None:
    """Of one shard, of which nothing is left; and a shard that does not exist is refused."""
    cookie = new_cookie()
    await send(api, some_tags(cookie, 60, minutes))
    ended = await tools.run("actors.tools.rebuild", "profiles", "--shard", "127.0.0.1:1")
    assert ended.status == 1
    assert "not the address of a master; these are: 127.0.0.1:" in ended.errors
    with tools.redis() as redis:
        name = redis.get_node_from_key(key(cookie, "VIEW")).name
        redis.delete(key(cookie, "VIEW"), key(cookie, "BUY"))
    rebuilding = asyncio.create_task(tools.run("actors.tools.rebuild", "profiles", "--shard", name))
    await send(api, some_tags(cookie, 60, Minutes(minutes.start + timedelta(minutes=5))))
    ended = await rebuilding
    assert ended.status == 0, ended.errors
    assert "3 positions forgotten" in ended.output
    await api.check_profile(cookie, minutes.range(), 200)
    accepted = await tools.run("actors.tools.rebuild", "profiles", "--accept-loss")
    assert accepted.status == 0, accepted.errors
    assert "0 positions" in accepted.output


async def test_a_range_that_is_none_is_refused(tools: Tools) -> None:
    ended = await tools.run("actors.tools.verify", "--from", "0:x")
    assert ended.status == 2
    assert "--from '0:x'" in ended.errors


async def test_stores_that_are_away_are_no_difference(tools: Tools) -> None:
    nowhere = {"TAGS_MYSQL_PORT": "1"}
    ended = await tools.run("actors.tools.verify", "--no-profiles", settings=nowhere)
    assert ended.status == 2
    assert "error: the database" in ended.errors
    assert "Traceback" not in ended.errors
