"""The path of a tag with fakes for log and profiles: order, debts, cancelled clients, overload."""

import asyncio
import contextvars
from collections.abc import Callable, Sequence

import pytest

from serve_app.core.errors import OutcomeUnknown, Problem, Unavailable
from serve_app.core.metrics import PROFILE_WRITES_OWED, TAGS_ACCEPTED
from serve_app.core.names import PROFILE_REPAIRS_TOPIC, USER_TAGS_TOPIC
from serve_app.core.tag import UserTag
from serve_app.ingest import Ingest, IngestLimits
from serve_app.stores.redis_shards import ShardUnavailable
from tests.recorder import MemoryRecorder
from tests.unit.stores.tags import encoded, typed, wire_tag

Event = tuple[str, str, list[str]]


class FakeLog:
    """Remembers appends; fails or waits as told."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self.ready = True
        self.last_error = ""
        self.errors: dict[str, Exception] = {}
        self.request_ids: list[tuple[str, list[bytes]]] = []
        self.open = asyncio.Event()
        self.open.set()

    def unreachable(self) -> Unavailable:
        return Unavailable(self.last_error)

    async def append(
        self, topic: str, values: Sequence[bytes], request_ids: Sequence[bytes] = ()
    ) -> None:
        self.request_ids.append((topic, list(request_ids)))
        if topic in self.errors:
            raise self.errors[topic]
        await self.open.wait()
        self._events.append(("log", topic, [NAMES[value] for value in values]))


class FakeProfiles:
    """A shard is the first letter of a cookie; ``?`` has none."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self.errors: dict[str, Exception] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.on_write: Callable[[], None] = lambda: None

    def group(self, tags: Sequence[UserTag]) -> list[tuple[str | None, list[int]]]:
        groups: dict[str | None, list[int]] = {}
        for at, tag in enumerate(tags):
            groups.setdefault(None if tag.cookie[0] == "?" else tag.cookie[0], []).append(at)
        return list(groups.items())

    async def write_shard(self, shard: str, tags: Sequence[UserTag]) -> None:
        self.on_write()
        if shard in self.slow:
            await self.slow[shard].wait()
        if shard in self.errors:
            raise self.errors[shard]
        self._events.append(("redis", shard, [tag.cookie for tag in tags]))


NAMES: dict[bytes, str] = {}
"""Body → cookie."""


class World:
    """An `Ingest` between the two fakes."""

    def __init__(self, **limits: float) -> None:
        self.events: list[Event] = []
        self.log = FakeLog(self.events)
        self.profiles = FakeProfiles(self.events)
        settings = IngestLimits(**({"linger_ms": 1.0} | limits))  # type: ignore[arg-type]
        self.recorder = MemoryRecorder()
        self.ingest = Ingest(self.log, self.profiles, settings, self.recorder)  # type: ignore[arg-type]

    def send(self, cookie: str) -> "asyncio.Task[None]":
        """One request with a tag of ``cookie``."""
        tag = wire_tag(cookie)
        NAMES[encoded(tag)] = cookie
        return asyncio.create_task(self.ingest.accept(typed(tag), encoded(tag)))


async def outcome(task: "asyncio.Task[None]") -> int:
    """204, or the status of the problem."""
    try:
        async with asyncio.timeout(5):
            await task
    except Problem as problem:
        return problem.status
    return 204


async def test_tags_that_come_together_are_written_together() -> None:
    world = World()
    tasks = [world.send(cookie) for cookie in ("a1", "b1", "a2")]
    assert [await outcome(task) for task in tasks] == [204] * 3
    assert world.events[0] == ("log", USER_TAGS_TOPIC, ["a1", "b1", "a2"])
    assert sorted(world.events[1:]) == [("redis", "a", ["a1", "a2"]), ("redis", "b", ["b1"])]
    assert await outcome(world.send("a3")) == 204
    assert world.events[3:] == [("log", USER_TAGS_TOPIC, ["a3"]), ("redis", "a", ["a3"])]


async def test_figures_of_what_was_done() -> None:
    world = World()
    world.profiles.errors["b"] = ShardUnavailable("down")
    for task in [world.send(cookie) for cookie in ("a1", "b1", "a2")]:
        assert await outcome(task) == 204
    assert world.recorder.counts == {(TAGS_ACCEPTED, ()): 3, (PROFILE_WRITES_OWED, ()): 1}
    samples = {labels: len(s) for (_, labels), s in world.recorder.samples.items()}
    # The tags and what is owed; a write a shard.
    assert samples == {("kafka", "append"): 2, ("redis", "write"): 2}


async def test_a_write_knows_of_no_single_request() -> None:
    """Or its log lines would carry the id of whichever tag came first."""
    request = contextvars.ContextVar("request", default="")
    request.set("a1's")
    world, seen = World(), []
    world.profiles.on_write = lambda: seen.append(request.get())
    assert await outcome(world.send("a1")) == 204
    assert seen == [""]


async def test_a_tag_that_was_refused_is_not_counted() -> None:
    world = World()
    world.log.errors[USER_TAGS_TOPIC] = Unavailable("no")
    assert await outcome(world.send("a1")) == 503
    assert world.recorder.counts == {}


async def test_a_log_that_is_not_ready_stores_nothing_anywhere() -> None:
    world = World()
    world.log.ready = False
    assert await outcome(world.send("a1")) == 503
    await world.ingest.drain()
    assert world.events == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unavailable("no"), 503), (OutcomeUnknown("who knows"), 504), (RuntimeError("a bug"), 504)],
)
async def test_what_the_log_refused_is_in_no_profile(error: Exception, status: int) -> None:
    world = World()
    world.log.errors[USER_TAGS_TOPIC] = error
    tasks = [world.send("a1"), world.send("b1")]
    assert [await outcome(task) for task in tasks] == [status] * 2
    await world.ingest.drain()
    assert world.events == []


async def test_a_client_that_goes_away_takes_nothing_back() -> None:
    world = World()
    world.log.open.clear()
    gone, stays = world.send("a1"), world.send("a2")
    await asyncio.sleep(0)
    gone.cancel()  # while the tags are collected
    later = world.send("b1")
    await asyncio.sleep(0.02)
    later.cancel()  # while the log is being written
    with pytest.raises(asyncio.CancelledError):
        await gone
    world.log.open.set()
    assert await outcome(stays) == 204
    await world.ingest.drain()
    assert sorted(name for kind, _, names in world.events if kind == "log" for name in names) == [
        "a1",
        "a2",
        "b1",
    ]
    assert sorted(name for kind, _, names in world.events if kind == "redis" for name in names) == [
        "a1",
        "a2",
        "b1",
    ]


@pytest.mark.parametrize("cookie", ["a1", "?1"])
async def test_a_tag_that_redis_does_not_take_is_owed_before_it_is_acknowledged(
    cookie: str,
) -> None:
    world = World()
    world.profiles.errors["a"] = ShardUnavailable("down")
    assert await outcome(world.send(cookie)) == 204
    assert world.events == [
        ("log", USER_TAGS_TOPIC, [cookie]),
        ("log", PROFILE_REPAIRS_TOPIC, [cookie]),
    ]
    assert world.ingest.owed == 1


async def test_a_tag_whose_debt_cannot_be_noted_is_504() -> None:
    world = World()
    world.profiles.errors["a"] = ShardUnavailable("down")
    world.log.errors[PROFILE_REPAIRS_TOPIC] = Unavailable("no")
    first, second = world.send("a1"), world.send("b1")
    # The tag is in the log: 503 would invite to send it a second time.
    assert await outcome(first) == 504
    assert await outcome(second) == 204
    assert world.ingest.owed == 0


async def test_a_slow_shard_holds_up_nobody_else() -> None:
    world = World()
    slow = world.profiles.slow["a"] = asyncio.Event()
    held, free = world.send("a1"), world.send("b1")
    assert await outcome(free) == 204
    assert await outcome(world.send("b2")) == 204
    assert not held.done()
    slow.set()
    assert await outcome(held) == 204


async def test_too_many_waiting_are_refused_at_once_and_stored_nowhere() -> None:
    world = World(max_waiting=3)
    world.log.open.clear()
    taken = [world.send(f"a{n}") for n in range(2)]
    await asyncio.sleep(0.02)
    taken.append(world.send("a2"))  # two being written, one collected
    await asyncio.sleep(0)
    refused = [world.send(f"b{n}") for n in range(3)]
    assert [await outcome(task) for task in refused] == [503] * 3
    world.log.open.set()
    assert [await outcome(task) for task in taken] == [204] * 3
    assert not any(name[0] == "b" for _, _, names in world.events for name in names)
    # And there is room again.
    assert await outcome(world.send("a9")) == 204


async def test_after_the_timeout_it_is_504_and_the_write_goes_on() -> None:
    world = World(timeout_s=0.03)
    world.log.open.clear()
    assert await outcome(world.send("a1")) == 504
    assert world.events == []
    world.log.open.set()
    await world.ingest.drain()
    assert world.events == [("log", USER_TAGS_TOPIC, ["a1"]), ("redis", "a", ["a1"])]


async def test_an_unforeseen_error_of_one_shard_is_504_and_frees_its_place() -> None:
    world = World(max_waiting=1)
    world.profiles.errors["a"] = RuntimeError("a bug")
    for _ in range(3):
        assert await outcome(world.send("a1")) == 504
        await world.ingest.drain()
    assert await outcome(world.send("b1")) == 204


async def test_draining_waits_for_what_was_only_collected() -> None:
    world = World(linger_ms=60_000.0)
    task = world.send("a1")
    await asyncio.sleep(0)
    await world.ingest.drain()
    assert task.done() or await outcome(task) == 204
    assert len(world.events) == 2
