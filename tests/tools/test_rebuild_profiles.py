"""Positions are forgotten, verified and accepted as lost, with only log and Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import redis
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from rich.console import Console

from actors.tools.positions import all_positions
from actors.tools.progress import LogProgress
from actors.tools.rebuild.profiles import ProfileRebuild, chosen_slots
from actors.tools.verify.differences import Findings
from actors.tools.verify.run import Wanted, verify
from serve_app.core.names import USER_TAGS_TOPIC, erased_key, profile_key, view_key
from serve_app.stores.kafka_clients import connection_options
from tests.contract.api import new_cookie
from tests.tools.feeds import PARTITIONS, SETTINGS, Feeds, numbered

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


class RecordingWatcher:
    """Remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left: list[int] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def counted(
        self, starts: Mapping[int, int], offsets: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        self.left.append(sum(max(0, end - offsets[p]) for p, end in ends.items()))


async def verified(feeds: Feeds) -> Findings:
    """The whole log against Redis."""
    return await verify(
        USER_TAGS_TOPIC,
        stores=feeds.stores,
        settings=SETTINGS,
        shards=feeds.shards,
        wanted=Wanted(aggregates=False),
        progress=LogProgress("log", Console(quiet=True)),
    )


def kinds(findings: Findings) -> list[str]:
    return [difference.kind for difference in findings.differences]


@asynccontextmanager
async def loaded(feeds: Feeds) -> AsyncIterator[None]:
    """Tags come all the time."""

    async def load() -> None:
        while True:
            await feeds.send(numbered(new_cookie(), *range(6)))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(load())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_damage_is_named_and_mended_under_load(feeds: Feeds) -> None:
    cookie, erased = new_cookie(), new_cookie()
    async with feeds.feeding(), loaded(feeds):
        await feeds.send([*numbered(cookie, *range(9)), *numbered(erased, *range(9))])
        assert (await feeds.erase(erased)).pending == []
        clean = await verified(feeds)
        assert clean.differences == []
        assert clean.erasures >= PARTITIONS
        assert clean.positions == PARTITIONS * len(feeds.shards.shards)
        master = feeds.shards.shard_of(profile_key(cookie, "VIEW")).master
        with redis.Redis(master.host, master.port) as client:
            client.delete(profile_key(cookie, "VIEW"))
        assert kinds(await verified(feeds)) == ["profile"] * 5

        watcher = RecordingWatcher()
        work = ProfileRebuild(feeds.shards, chosen_slots(feeds.shards, ""), watcher)
        ends = await feeds.ends()
        assert await work.forget() == PARTITIONS * len(feeds.shards.shards)
        await work.follow(dict.fromkeys(ends, 0), ends)
        assert watcher.left[-1] == 0
        assert await feeds.numbers(cookie) == set(range(9))
        assert await feeds.numbers(erased) == set()
        assert (await verified(feeds)).differences == []


async def test_an_erased_tag_that_is_there_is_wrong(feeds: Feeds) -> None:
    """By the log, whatever the mark in Redis says."""
    cookie = new_cookie()
    async with feeds.feeding():
        await feeds.send(numbered(cookie, 0, 2))
        await feeds.caught_up()
        key = profile_key(cookie, "VIEW")
        shard = feeds.shards.shard_of(key)
        with redis.Redis(shard.master.host, shard.master.port) as client:
            there = client.zrange(key, 0, -1, withscores=True)
            assert (await feeds.erase(cookie)).pending == []
            client.delete(erased_key(cookie))
            client.zadd(key, dict(there))
            found = await verified(feeds)
            assert kinds(found) == ["profile", "profile"]
            assert {one.expected for one in found.differences} == {"no tag"}
            client.delete(key)
        assert (await verified(feeds)).differences == []


async def test_what_is_not_applied_yet_is_late(feeds: Feeds) -> None:
    cookie, erased = new_cookie(), new_cookie()
    async with feeds.feeding():
        await feeds.send(numbered(erased, 0))
        await feeds.caught_up()
    await feeds.send(numbered(cookie, 0, 2))
    await feeds.erase(erased, wait_s=0)
    found = await verified(feeds)
    assert (found.late, found.differences) == (3, [])
    async with feeds.feeding():
        await feeds.caught_up()
        found = await verified(feeds)
        assert (found.late, found.differences) == (0, [])


async def test_one_shard_forgets(feeds: Feeds) -> None:
    async with feeds.feeding():
        await feeds.send(numbered(new_cookie(), *range(9)))
        await feeds.caught_up()
    one, *others = feeds.shards.shards
    work = ProfileRebuild(feeds.shards, chosen_slots(feeds.shards, one.name), RecordingWatcher())
    assert await work.forget() == PARTITIONS
    there = {p.name: len(p.fields) for p in await all_positions(feeds.shards)}
    assert there == {one.name: 0} | {other.name: PARTITIONS for other in others}
    assert kinds(await verified(feeds)) == ["position"] * PARTITIONS
    with redis.Redis(one.master.host, one.master.port) as client:
        assert not any(client.exists(view_key(home)) for home in one.homes)
    ends = await feeds.ends()
    async with feeds.feeding():
        await work.follow(dict.fromkeys(ends, 0), ends)
    assert (await verified(feeds)).differences == []


async def test_a_log_that_was_cut(feeds: Feeds) -> None:
    """The last one here: the log of all tests of this folder begins later from here on."""
    ends = await feeds.ends()
    admin = AIOKafkaAdminClient(**connection_options(feeds.stores))
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(USER_TAGS_TOPIC, p): RecordsToDelete(end) for p, end in ends.items()}
        )
    finally:
        await admin.close()
    one, *_ = feeds.shards.shards
    watcher = RecordingWatcher()
    work = ProfileRebuild(feeds.shards, chosen_slots(feeds.shards, one.name), watcher)
    await work.forget()
    async with feeds.feeding():
        await feeds.caught_up()
        found = await verified(feeds)
        cut = sum(end > 0 for end in ends.values())
        assert kinds(found) == ["position"] * cut
        assert {d.where.split()[1] for d in found.differences} == {one.name}
        assert await work.accept_loss() == cut
        assert len(watcher.lines) == cut
        await feeds.caught_up()
        assert (await verified(feeds)).differences == []
        assert await work.accept_loss() == 0
