"""Repairs and replays, with the real log and the writes to Redis observed in memory."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from actors.log.topic_reader import TopicReader
from actors.profiles.masters import Masters
from actors.profiles.repair import RepairLoop
from actors.profiles.replay import ReplayLoop
from serve_app.core.clock import SystemClock
from serve_app.core.tag import UserTag
from serve_app.stores.kafka_clients import connection_options
from tests.sink.box import Box
from tests.unit.actors.fakes import FakeDeadLetters, tag_json

pytestmark = pytest.mark.asyncio


class Redis:
    """Two shards: cookies that start with ``a`` and all others."""

    def __init__(self) -> None:
        self.ids: dict[str, str] | None = {"A": "a1", "B": "b1"}
        self.away: set[str] = set()
        self.written: list[str] = []

    def master_of(self, tag: UserTag) -> str:
        return "A" if tag.cookie.startswith("a") else "B"

    async def run_ids(self) -> dict[str, str] | None:
        return None if self.away else dict(self.ids or {}) or None

    async def write(self, tags: Sequence[UserTag]) -> list[Exception | None]:
        results: list[Exception | None] = []
        for tag in tags:
            if self.master_of(tag) in self.away:
                results.append(ConnectionError("away"))
            else:
                results.append(None)
                self.written.append(tag.cookie)
        return results


def reader(box: Box) -> TopicReader:
    return TopicReader(box.topic, f"group-{box.topic}", stores=box.stores, timeout_s=5)


def repair_loop(
    box: Box, redis: Redis, letters: FakeDeadLetters, stand_by_s: float = 0.0
) -> RepairLoop:
    return RepairLoop(
        reader=reader(box),
        profiles=redis,
        dead_letters=letters,
        clock=SystemClock(),
        settings=box.settings.model_copy(update={"repair_retry_s": 0.05}),
        stand_by_s=stand_by_s,
    )


def replay_loop(box: Box, redis: Redis, margin_s: float = 60.0) -> ReplayLoop:
    masters: Masters = redis
    return ReplayLoop(
        reader=reader(box),
        profiles=redis,
        masters=masters,
        clock=SystemClock(),
        settings=box.settings.model_copy(
            update={
                "shard_watch_interval_s": 0.05,
                "replay_settle_s": 0.1,
                "replay_margin_s": margin_s,
                "replay_commit_interval_s": 0.1,
            }
        ),
    )


async def send(box: Box, cookies: str) -> None:
    producer = AIOKafkaProducer(**connection_options(box.stores))
    await producer.start()
    for cookie in cookies.split():
        body = b"junk" if cookie == "junk" else tag_json(cookie=cookie)
        await producer.send_and_wait(box.topic, body, partition=0)
    await producer.stop()


async def committed(box: Box) -> int | None:
    fresh = reader(box)
    await fresh.open()
    offsets = await fresh.committed()
    await fresh.close()
    return offsets.get(0)


async def run_until(loop: RepairLoop | ReplayLoop, reached: Callable[[], bool]) -> None:
    task = asyncio.create_task(loop.run())
    give_up_s = time.monotonic() + 20
    try:
        while not reached():
            assert time.monotonic() < give_up_s, loop.document()
            if task.done():
                task.result()
            await asyncio.sleep(0.02)
        # One more turn, for a commit that follows.
        await asyncio.sleep(0.4)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_repairs_of_one_shard_do_not_wait_for_another(box: Box) -> None:
    redis, letters = Redis(), FakeDeadLetters()
    redis.away = {"A"}
    await send(box, "b1 a1 junk b2 a2 b3")
    loop = repair_loop(box, redis, letters)
    await run_until(loop, lambda: redis.written == ["b1", "b2", "b3"] and loop.dead == 1)
    assert loop.document()["owed"] == 2
    # Offset 1 is owed, so only offset 0 is done with.
    assert await committed(box) == 1
    redis.away = set()
    second = repair_loop(box, redis, letters)
    await run_until(second, lambda: {"a1", "a2"} <= set(redis.written))
    assert await committed(box) == 6
    redis.written.clear()
    third = repair_loop(box, redis, letters)
    await send(box, "b9")
    await run_until(third, lambda: redis.written == ["b9"])
    assert third.document()["lag"] <= 1


async def test_a_second_loop_does_what_the_first_one_leaves(box: Box) -> None:
    redis, letters = Redis(), FakeDeadLetters()
    first, second = repair_loop(box, redis, letters), repair_loop(box, redis, letters, 1.0)
    standing_by = asyncio.create_task(second.run())
    try:
        await send(box, "a1 junk b1")
        await run_until(first, lambda: redis.written == ["a1", "b1"])
        await _until(lambda: second.document()["owed"] == 0, second)
        assert (second.applied, second.dead) == (0, 0)
        # The first one is gone, in the midst of its work for all that the second one knows.
        await send(box, "a2 junk b2")
        await _until(lambda: redis.written == ["a1", "b1", "a2", "b2"], second)
        await _until(lambda: second.document()["lag"] == 0, second)
        assert await committed(box) == 6
        # Back again, it finds nothing left to do.
        again = repair_loop(box, redis, letters)
        await send(box, "a3")
        await run_until(again, lambda: "a3" in redis.written)
        await _until(lambda: second.document()["owed"] == 0, second)
        assert redis.written == ["a1", "b1", "a2", "b2", "a3"]
        assert len(letters.kept) == 2
    finally:
        standing_by.cancel()
        await asyncio.gather(standing_by, return_exceptions=True)


async def test_all_masters_at_the_start_and_then_the_changed_one(box: Box) -> None:
    redis = Redis()
    await send(box, "a1 b1 junk")
    loop = replay_loop(box, redis)
    task = asyncio.create_task(loop.run())
    try:
        await _until(lambda: loop.state == "running", loop)
        assert redis.written == ["a1", "b1"]
        await send(box, "a2 b2")
        redis.away = {"A"}
        await _until(lambda: loop.state.startswith("waiting"), loop)
        redis.written.clear()
        redis.away, redis.ids = set(), {"A2": "a2", "B": "b1"}
        redis.master_of = lambda tag: "A2" if tag.cookie.startswith("a") else "B"  # type: ignore
        await _until(lambda: loop.replays == 2 and loop.state == "running", loop)
        assert redis.written == ["a1", "a2"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def tags_come_while_nobody_watches(box: Box) -> Redis:
    """After a replay loop found all masters good at ``a1 b1``: ``a2 b2``; written: nothing yet."""
    redis = Redis()
    await send(box, "a1 b1")
    loop = replay_loop(box, redis, margin_s=0.2)
    await run_until(loop, lambda: loop.committed == {0: 2})
    await send(box, "a2 b2")
    redis.written.clear()
    return redis


async def test_an_outage_of_everything_is_covered_from_the_last_good_moment(box: Box) -> None:
    redis = await tags_come_while_nobody_watches(box)
    # More than the margin goes by.
    await asyncio.sleep(0.5)
    redis.ids = {"A": "a2", "B": "b2"}
    loop = replay_loop(box, redis, margin_s=0.2)
    await run_until(loop, lambda: loop.committed == {0: 4})
    assert redis.written == ["a2", "b2"]
    assert await committed(box) == 4


async def test_a_start_with_the_same_masters_applies_nothing_again(box: Box) -> None:
    redis = await tags_come_while_nobody_watches(box)
    loop = replay_loop(box, redis, margin_s=0.2)
    await run_until(loop, lambda: loop.committed == {0: 4})
    assert (loop.replays, redis.written) == (0, [])
    assert await committed(box) == 4
    # One of two is another: which tags it misses was not seen, so both are looked after.
    redis.ids = {"A": "a1", "B": "b2"}
    loop = replay_loop(box, redis)
    await run_until(loop, lambda: loop.replays == 1)
    assert {"a1", "b1", "a2", "b2"} == set(redis.written)


async def _until(reached: Callable[[], bool], loop: RepairLoop | ReplayLoop) -> None:
    give_up_s = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < give_up_s, loop.document()
        await asyncio.sleep(0.02)
