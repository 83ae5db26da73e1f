"""Two repair loops: one works, one stands by. Everything around them is in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.log.ports import DeadLetter, Record
from actors.profiles.repair import RepairLoop
from actors.settings import ActorSettings
from tests.clock import FakeClock
from tests.unit.actors.fakes import FakeDeadLetters, FakeReader, FakeWriter, tag_json

pytestmark = pytest.mark.asyncio

STAND_BY_S = 2.0
JUNK = b"junk"


class Pair:
    """A ``first`` and a ``second`` loop over one topic, one group and one Redis."""

    def __init__(self) -> None:
        self.clock, self.writer, self.letters = FakeClock(), FakeWriter(), FakeDeadLetters()
        self.values: list[bytes] = []
        self.stored: dict[int, int] = {}
        self.loops: dict[str, RepairLoop] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        if name in self.tasks:
            return
        reader = FakeReader(self.clock)
        reader.values, reader.stored = self.values, self.stored
        self.loops[name] = RepairLoop(
            reader=reader,  # type: ignore[arg-type]
            profiles=self.writer,
            dead_letters=self.letters,
            clock=self.clock,
            settings=ActorSettings(),
            stand_by_s=STAND_BY_S if name == "second" else 0.0,
        )
        self.tasks[name] = asyncio.create_task(self.loops[name].run())

    async def kill(self, name: str) -> None:
        if task := self.tasks.pop(name, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def owe(self, count: int) -> None:
        """The first of them is no tag."""
        begin = len(self.values)
        self.values += [tag_json(cookie=str(begin + n)) if n else JUNK for n in range(count)]

    async def wait(self, seconds: float) -> None:
        """Time passes while the loops sleep: the pauses of both, one after the other."""
        end_s = self.clock.monotonic() + seconds
        while self.tasks and self.clock.monotonic() < end_s:
            for task in self.tasks.values():
                assert not task.done(), task
            self.check()
            await asyncio.sleep(0)

    def check(self) -> None:
        """All that is committed was written, or sent to the dead letters."""
        written = set(self.writer.written)
        letters = {letter.record.offset for letter in self.letters.kept}
        for offset in range(self.stored.get(0, 0)):
            if self.values[offset] == JUNK:
                assert offset in letters
            else:
                assert str(offset) in written

    @property
    def committed(self) -> int:
        return self.stored.get(0, 0)


@asynccontextmanager
async def both() -> AsyncIterator[Pair]:
    pair = Pair()
    pair.start("first")
    pair.start("second")
    try:
        yield pair
    finally:
        for name in ("first", "second"):
            await pair.kill(name)


async def test_the_second_loop_writes_nothing_while_the_first_one_works() -> None:
    async with both() as pair:
        for _ in range(20):
            pair.owe(10)
            await pair.wait(1)
        await pair.wait(10)
        assert pair.committed == 200
        assert len(pair.writer.written) == 180
        assert len(pair.letters.kept) == 20
        second = pair.loops["second"].document()
        assert (second["applied"], second["dead_letters"], second["owed"]) == (0, 0, 0)


async def test_the_second_loop_takes_over_seconds_after_the_first_one_died() -> None:
    async with both() as pair:
        pair.owe(10)
        await pair.wait(5)
        await pair.kill("first")
        pair.owe(10)
        await pair.wait(STAND_BY_S - 0.5)
        assert pair.committed == 10
        await pair.wait(1.5)
        assert (pair.committed, pair.loops["second"].applied) == (20, 9)


async def test_a_first_loop_that_comes_back_finds_its_work_done() -> None:
    async with both() as pair:
        await pair.kill("first")
        pair.owe(10)
        await pair.wait(5)
        pair.start("first")
        pair.owe(10)
        await pair.wait(10)
        assert pair.committed == 20
        assert sorted(pair.writer.written) == sorted(set(pair.writer.written))


async def test_what_is_young_when_the_second_loop_looks_is_still_the_first_one_s() -> None:
    async with both() as pair:
        await pair.kill("first")
        pair.owe(3)
        await pair.wait(STAND_BY_S - 0.6)
        pair.owe(3)
        await pair.wait(0.5)
        # The first loop has done what is old by now.
        pair.writer.written += ["1", "2"]
        pair.letters.kept.append(DeadLetter(Record(0, JUNK), "junk"))
        pair.stored[0] = 3
        await pair.wait(0.6)
        assert pair.loops["second"].document()["owed"] == 3
        await pair.wait(STAND_BY_S)
        assert pair.committed == 6


async def test_with_redis_away_the_second_loop_asks_far_less_often() -> None:
    asked = []

    class Counting(FakeWriter):
        async def write(self, tags):  # type: ignore[no-untyped-def]
            asked.append(tags)
            return await super().write(tags)

    pair = Pair()
    pair.writer = Counting()
    pair.writer.away = True
    pair.start("second")
    try:
        pair.owe(5)
        await pair.wait(60)
        assert 20 <= len(asked) <= 31
        assert pair.committed == 1
        pair.writer.away = False
        await pair.wait(STAND_BY_S + 1)
        assert pair.committed == 5
    finally:
        await pair.kill("second")


async def test_the_second_loop_does_not_say_that_it_waits_for_what_is_done() -> None:
    async with both() as pair:
        pair.writer.away = True
        pair.owe(5)
        await pair.wait(10)
        assert pair.loops["second"].document()["state"].startswith("waiting")
        pair.writer.away = False
        await pair.wait(10)
        second = pair.loops["second"].document()
        assert pair.committed == 5
        assert (second["state"], second["error"]) == ("running", None)


async def test_a_commit_of_less_is_put_right_by_the_loop_that_lives() -> None:
    async with both() as pair:
        pair.owe(10)
        await pair.wait(10)
        assert pair.committed == 10
        # What a slow first loop may do as its last act.
        await pair.kill("first")
        pair.stored[0] = 7
        await pair.wait(12)
        assert pair.committed == 10


STEPS = st.one_of(
    st.tuples(st.just("owe"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["start", "kill"]), st.sampled_from(["first", "second"])),
    st.tuples(st.just("away"), st.booleans()),
    st.tuples(st.just("wait"), st.floats(0.1, 8)),
)


@given(st.lists(STEPS, max_size=40), st.sampled_from(["first", "second"]))
@settings(deadline=None, max_examples=150)
async def test_nothing_is_skipped_whoever_lives(
    steps: list[tuple[str, object]], survivor: str
) -> None:
    pair = Pair()
    try:
        for step, value in steps:
            match step, value:
                case "owe", int(count):
                    pair.owe(count)
                case "start", str(name):
                    pair.start(name)
                case "kill", str(name):
                    await pair.kill(name)
                case "away", bool(away):
                    pair.writer.away = away
                case "wait", float(seconds):
                    await pair.wait(seconds)
            pair.check()
        pair.writer.away = False
        pair.start(survivor)
        # With both, the time is that of both, and a commit of less may have to be put right.
        await pair.wait(30)
        assert pair.committed == len(pair.values)
        pair.check()
    finally:
        for name in ("first", "second"):
            await pair.kill(name)
