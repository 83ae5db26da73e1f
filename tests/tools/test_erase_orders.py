"""An erasure holds for every order of events, on real stores."""

import asyncio

import msgspec
import psutil
import pytest

from actors.tools.erase.record import append_erasure
from serve_app.core.erasure import Erasure
from serve_app.core.names import USER_TAGS_TOPIC, profile_key
from serve_app.stores.profiles import Placed, Profiles
from setup.local.platform import Platform
from tests.contract.api import new_cookie
from tests.tags import decode_tag
from tests.tools.feeds import Feeds, numbered

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest.fixture
def cookie() -> str:
    return new_cookie()


async def test_recorded_before_anything_is_applied(feeds: Feeds, cookie: str) -> None:
    """An erasure needs only the log; later readers apply it."""
    await feeds.send(numbered(cookie, *range(9)))
    outcome = await feeds.erase(cookie, wait_s=0)
    assert outcome.pending
    await feeds.send(numbered(cookie, 20, 21))
    async with feeds.feeding():
        await feeds.caught_up()
        assert await feeds.numbers(cookie) == {20, 21}


async def test_while_tags_keep_coming(feeds: Feeds, cookie: str) -> None:
    """What was accepted before the ends were asked for is gone, and nothing else."""
    places: dict[tuple[int, int], int] = {}
    erased = asyncio.Event()

    async def load() -> None:
        number = 0
        while number < 100 or (not erased.is_set() and number < 380):
            numbers = range(number, number + 3)
            found = await feeds.send(numbered(cookie, *numbers))
            places.update(zip(found, numbers, strict=True))
            number += 3
            await asyncio.sleep(0.01)

    async with feeds.feeding():
        loading = asyncio.create_task(load())
        await asyncio.sleep(0.3)
        outcome = await feeds.erase(cookie)
        erased.set()
        await loading
        assert outcome.pending == []
        await feeds.caught_up()
        left = {n for (partition, at), n in places.items() if at >= outcome.before[partition]}
        assert 0 < len(left) < len(places)
        assert await feeds.numbers(cookie) == left


@pytest.mark.parametrize("emptied", ["after", "before"])
async def test_a_shard_that_is_emptied(feeds: Feeds, cookie: str, emptied: str) -> None:
    neighbour = new_cookie()
    async with feeds.feeding():
        await feeds.send([*numbered(cookie, *range(9)), *numbered(neighbour, 1, 2)])
        await feeds.caught_up()
        if emptied == "before":
            feeds.flush(cookie)
        outcome = await feeds.erase(cookie)
        assert outcome.pending == []
        if emptied == "after":
            assert outcome.removed == 9
        await feeds.send(numbered(cookie, 20, 21))
        await feeds.caught_up()
        if emptied == "after":
            feeds.flush(cookie)
            await asyncio.sleep(1)
            await feeds.caught_up()
        assert await feeds.numbers(cookie) == {20, 21}
        assert await feeds.numbers(neighbour) == {1, 2}


async def test_twice(feeds: Feeds, cookie: str) -> None:
    async with feeds.feeding():
        for new in ((1, 2, 3), (4, 5), ()):
            await feeds.send(numbered(cookie, *new))
            await feeds.caught_up()
            assert await feeds.numbers(cookie) == set(new)
            outcome = await feeds.erase(cookie)
            assert (outcome.removed, outcome.pending) == (len(new), [])
            assert await feeds.numbers(cookie) == set()
        await feeds.send(numbered(cookie, 1))
        await feeds.caught_up()
        # The same tag once more is a new one: it was sent after the erasure.
        assert await feeds.numbers(cookie) == {1}


async def test_a_quick_write_that_comes_late(feeds: Feeds, cookie: str) -> None:
    async with feeds.feeding():
        (old,) = await feeds.send(numbered(cookie, 1))
        await feeds.caught_up()
        assert (await feeds.erase(cookie)).pending == []
        (new,) = await feeds.send(numbered(cookie, 2))
        written = [
            Placed(decode_tag(encoded), decode_tag(encoded).time_ms, partition, offset, 0)
            for encoded, (partition, offset) in zip(bodies(cookie, 1, 2), (old, new), strict=True)
        ]
        await Profiles(feeds.shards).write(written)
        assert await feeds.numbers(cookie) == {2}


async def test_recorded_in_one_partition_only(feeds: Feeds, cookie: str) -> None:
    """The tool was interrupted between the partitions."""
    async with feeds.feeding():
        await feeds.send(numbered(cookie, *range(9)))
        await feeds.caught_up()
        erasure = Erasure(cookie, await feeds.ends())
        await append_erasure(USER_TAGS_TOPIC, erasure, [1], stores=feeds.stores, timeout_s=10)
        await feeds.send(numbered(cookie, 20))
        await feeds.caught_up()
        assert await feeds.numbers(cookie) == {20}
        feeds.flush(cookie)
        await asyncio.sleep(1)
        await feeds.caught_up()
        assert await feeds.numbers(cookie) == {20}


async def test_redis_is_away(feeds: Feeds, cookie: str, two_stores: Platform) -> None:
    async with feeds.feeding():
        await feeds.send(numbered(cookie, 1, 2))
        await feeds.caught_up()
        address = feeds.shards.shard_of(profile_key(cookie, "VIEW")).name
        number = int(address.rpartition(":")[2]) - two_stores.ports["redis"] + 1
        node = psutil.Process(two_stores.supervisor.states()[f"redis-{number}"].pid)
        node.suspend()
        try:
            outcome = await feeds.erase(cookie, wait_s=0)
            assert outcome.removed is None
            assert outcome.pending
        finally:
            node.resume()
        await feeds.caught_up()
        assert await feeds.numbers(cookie) == set()


async def test_what_the_log_keeps(feeds: Feeds, cookie: str) -> None:
    """Also of a name that JSON escapes."""
    name = f'né"{cookie}'
    async with feeds.feeding():
        await feeds.send([*numbered(name, 1, 2), *numbered(new_cookie(), 1)])
        facts = (await feeds.erase(name)).kept[0]
        assert facts.records is None
        assert facts.gone_ms == facts.erased_ms + facts.retention_ms + facts.segment_ms
        # The second time the first one's records are there as well.
        tags, letters = (await feeds.erase(name, scan=True)).kept
        assert (tags.records, letters.records) == (2 + 3, 0)
        assert tags.oldest_ms is not None
        assert tags.newest_ms is not None
        assert tags.oldest_ms <= tags.newest_ms <= tags.erased_ms


def bodies(cookie: str, *numbers: int) -> list[bytes]:
    """As a client sends them."""
    return [msgspec.json.encode(tag) for tag in numbered(cookie, *numbers)]
