"""The path of a tag with fakes for log and profiles: order, cancelled clients, overload."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from serve_app import ingest
from serve_app.core.errors import OutcomeUnknown, Problem, Unavailable
from serve_app.core.metrics import TAGS_ACCEPTED
from serve_app.ingest import Ingest, IngestLimits
from tests.fakes.recorder import MemoryRecorder
from tests.fakes.tag_log import FakeTagLog
from tests.fakes.views import FakeProfiles
from tests.tags import FIRST_MS, encoded, typed, wire_tag

Event = tuple[str, list[str]]


class World:
    """An `Ingest` between the two fakes."""

    def __init__(self, **limits: float) -> None:
        self.events: list[Event] = []
        self._names: dict[bytes, str] = {}
        """Body → cookie."""
        self.log = FakeTagLog(self._appended)
        self.profiles = FakeProfiles(on_write=lambda names: self.events.append(("redis", names)))
        settings = IngestLimits(**({"linger_ms": 1.0} | limits))  # type: ignore[arg-type]
        self.recorder = MemoryRecorder()
        self.ingest = Ingest(self.log, self.profiles, settings, self.recorder)  # type: ignore[arg-type]

    def send(self, cookie: str, request_id: bytes = b"") -> "asyncio.Task[None]":
        """One request with a tag of ``cookie``."""
        tag = wire_tag(cookie)
        self._names[encoded(tag)] = cookie
        accepted = self.ingest.accept(typed(tag), FIRST_MS, encoded(tag), request_id)
        return asyncio.create_task(accepted)

    def _appended(self, values: Sequence[bytes]) -> None:
        self.events.append(("log", [self._names[value] for value in values]))

    def names(self, store: str) -> list[str]:
        """Cookies that ``store`` has, sorted."""
        return sorted(name for kind, names in self.events if kind == store for name in names)


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
    await world.ingest.drain()
    assert world.events == [("log", ["a1", "b1", "a2"]), ("redis", ["a1", "b1", "a2"])]
    assert await outcome(world.send("a3")) == 204
    await world.ingest.drain()
    assert world.events[2:] == [("log", ["a3"]), ("redis", ["a3"])]


async def test_each_tag_goes_to_redis_with_its_own_place_in_the_log() -> None:
    world = World()
    world.log.parts = [2, 3]
    tasks = [world.send(f"c{number}", b"id %d" % number) for number in range(6)]
    assert [await outcome(task) for task in tasks] == [204] * 6
    await world.ingest.drain()
    assert world.log.request_ids == [[b"id %d" % number for number in range(6)]]
    assert [
        (placed.tag.cookie, placed.time_ms, placed.partition, placed.offset, placed.arrived_ms)
        for placed in world.profiles.placed
    ] == [
        ("c0", FIRST_MS, 0, 100, 7_000),
        ("c1", FIRST_MS, 0, 101, 7_000),
        ("c2", FIRST_MS, 1, 200, 7_001),
        ("c3", FIRST_MS, 1, 201, 7_001),
        ("c4", FIRST_MS, 1, 202, 7_001),
        ("c5", FIRST_MS, 2, 300, 7_002),
    ]


async def test_figures_of_what_was_done() -> None:
    world = World()
    for task in [world.send(cookie) for cookie in ("a1", "b1", "a2")]:
        assert await outcome(task) == 204
    await world.ingest.drain()
    assert world.recorder.counts == {(TAGS_ACCEPTED, ()): 3}
    samples = {labels: len(s) for (_, labels), s in world.recorder.samples.items()}
    assert samples == {("kafka", "append"): 1, ("redis", "write"): 1}


async def test_a_write_knows_of_no_single_request() -> None:
    """Or its log lines would carry the id of whichever tag came first."""
    request = contextvars.ContextVar("request", default="")
    request.set("a1's")
    world, seen = World(), []
    world.profiles.before_write = lambda: seen.append(request.get())
    assert await outcome(world.send("a1")) == 204
    await world.ingest.drain()
    assert seen == [""]


async def test_a_tag_that_was_refused_is_not_counted() -> None:
    world = World()
    world.log.error = Unavailable("no")
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
    world.log.error = error
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
    assert world.names("log") == ["a1", "a2", "b1"]
    assert world.names("redis") == ["a1", "a2", "b1"]


@pytest.mark.parametrize("error", [Unavailable("down"), RuntimeError("a bug")])
async def test_what_redis_does_not_take_is_acknowledged_all_the_same(error: Exception) -> None:
    world = World(max_waiting=1)
    world.profiles.error = error
    for _ in range(3):
        assert await outcome(world.send("a1")) == 204
        await world.ingest.drain()
    world.profiles.error = None
    assert await outcome(world.send("b1")) == 204
    await world.ingest.drain()
    assert world.names("log") == ["a1", "a1", "a1", "b1"]
    assert world.names("redis") == ["b1"]


async def test_nobody_waits_for_redis() -> None:
    world = World(max_waiting=1)
    world.profiles.open.clear()
    for number in range(3):
        assert await outcome(world.send(f"a{number}")) == 204
        assert world.ingest.waiting == 0
    assert world.names("redis") == []
    world.profiles.open.set()
    await world.ingest.drain()
    assert world.names("redis") == ["a0", "a1", "a2"]


async def test_a_redis_that_hangs_is_left_to_the_actors_after_some_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingest, "QUICK_WRITES", 2)
    world = World()
    world.profiles.open.clear()
    for number in range(5):
        assert await outcome(world.send(f"a{number}")) == 204
    world.profiles.open.set()
    await world.ingest.drain()
    assert world.names("redis") == ["a0", "a1"]
    # And once it answers, it is written to again.
    assert await outcome(world.send("a9")) == 204
    await world.ingest.drain()
    assert world.names("redis") == ["a0", "a1", "a9"]


async def test_quick_writes_can_be_switched_off_and_on() -> None:
    world = World(quick_writes=False)
    assert await outcome(world.send("a1")) == 204
    await world.ingest.drain()
    assert world.events == [("log", ["a1"])]
    world.ingest.limits = IngestLimits(linger_ms=1.0)
    assert await outcome(world.send("a2")) == 204
    await world.ingest.drain()
    assert world.names("redis") == ["a2"]


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
    assert not any(name[0] == "b" for _, names in world.events for name in names)
    # And there is room again.
    assert await outcome(world.send("a9")) == 204


async def test_after_the_timeout_it_is_504_and_the_write_goes_on() -> None:
    world = World(timeout_s=0.03)
    world.log.open.clear()
    assert await outcome(world.send("a1")) == 504
    assert world.events == []
    world.log.open.set()
    await world.ingest.drain()
    assert world.events == [("log", ["a1"]), ("redis", ["a1"])]
    # Nobody was told 204.
    assert world.recorder.counts == {(TAGS_ACCEPTED, ()): 0}


async def test_draining_waits_for_what_was_only_collected() -> None:
    world = World(linger_ms=60_000.0)
    task = world.send("a1")
    await asyncio.sleep(0)
    await world.ingest.drain()
    assert task.done() or await outcome(task) == 204
    assert len(world.events) == 2
