"""The replay after a fail-over with everything around it in memory."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.profiles.replay import ReplayLoop
from actors.settings import ActorSettings
from serve_app.core.tag import UserTag
from tests.clock import FakeClock
from tests.unit.actors.fakes import FakeReader, FakeWriter, pass_seconds, tag_json

pytestmark = pytest.mark.asyncio


class OneMaster:
    """A cluster of one shard."""

    def __init__(self) -> None:
        self.run_id = "first"

    async def run_ids(self) -> dict[str, str]:
        return {"address": self.run_id}

    def master_of(self, tag: UserTag) -> str:
        return "address"


async def test_a_reader_that_hands_nothing_over_is_opened_anew_and_the_replay_begun_again() -> None:
    clock, masters = FakeClock(), OneMaster()
    reader = FakeReader(clock)
    reader.values = [tag_json()] * 3
    loop = ReplayLoop(
        reader=reader,  # type: ignore[arg-type]
        profiles=FakeWriter(),
        masters=masters,
        clock=clock,
        settings=ActorSettings(),
    )
    task = asyncio.create_task(loop.run())

    try:
        await pass_seconds(clock, 10, task)
        assert (loop.replays, loop.replayed, reader.opened) == (1, 3, 1)
        reader.silent = True
        masters.run_id = "promoted"
        await pass_seconds(clock, 5, task)
        assert (loop.replays, loop.replayed) == (1, 3)
        await pass_seconds(clock, 30, task)
        assert (loop.replays, loop.replayed, reader.opened) == (2, 6, 2)
        assert loop.document()["masters"] == {"address": "promoted"}
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Cluster(OneMaster):
    """One shard that loses what it likes when its master is another; and its replay loop."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.log: list[bytes] = []
        self.held: set[str] = set()
        self.written = 0
        self.terms = 0
        self.stored: tuple[dict[int, int], str | None] = ({}, None)
        self.task: asyncio.Task[None] | None = None

    async def write(self, tags: Sequence[UserTag]) -> list[Exception | None]:
        self.held |= {tag.cookie for tag in tags}
        self.written += len(tags)
        return [None for _ in tags]

    def accept(self) -> None:
        """A tag that a replica of the application acknowledged: in both stores."""
        cookie = str(len(self.log))
        self.log.append(tag_json(cookie=cookie))
        self.held.add(cookie)

    def fail_over(self, lost: int) -> None:
        self.terms += 1
        self.run_id = f"term {self.terms}"
        self.held -= {str(number) for number in range(len(self.log) - lost, len(self.log))}

    def start(self) -> None:
        self.reader = FakeReader(self.clock)
        self.reader.values = self.log
        self.reader.stored, self.reader.stored_note = self.stored
        loop = ReplayLoop(
            reader=self.reader,  # type: ignore[arg-type]
            profiles=self,
            masters=self,
            clock=self.clock,
            settings=ActorSettings(),
        )
        self.task = asyncio.create_task(loop.run())

    async def kill(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.stored = self.reader.stored, self.reader.stored_note
            self.task = None

    async def wait(self, seconds: float) -> None:
        if self.task:
            await pass_seconds(self.clock, seconds, self.task)


async def test_a_start_with_the_same_masters_writes_nothing() -> None:
    cluster = Cluster()
    cluster.start()
    await cluster.wait(10)
    for _ in range(20):
        cluster.accept()
    await cluster.kill()
    cluster.start()
    await cluster.wait(10)
    assert cluster.written == 0
    # With another master all of it is looked after, as from the first moment.
    await cluster.kill()
    cluster.fail_over(20)
    cluster.start()
    await cluster.wait(10)
    await cluster.kill()
    assert cluster.written == 20


async def test_offsets_that_somebody_else_committed_are_no_sign_of_good_masters() -> None:
    cluster = Cluster()
    cluster.accept()
    cluster.start()
    await cluster.wait(10)
    await cluster.kill()
    written = cluster.written
    cluster.stored = {0: 0}, ""
    cluster.start()
    await cluster.wait(10)
    await cluster.kill()
    assert cluster.written == written + 1


_EVENTS = st.one_of(
    st.tuples(st.just("accept"), st.integers(1, 5)),
    st.tuples(st.just("fail over"), st.integers(0, 5)),
    st.tuples(st.just("kill"), st.just(0)),
    st.tuples(st.just("start"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(1, 12)),
)


@settings(deadline=None)
@given(events=st.lists(_EVENTS, max_size=25))
async def test_whatever_fails_over_and_whenever_the_loop_is_away_the_masters_get_all(
    events: list[tuple[str, int]],
) -> None:
    cluster = Cluster()
    cluster.start()
    for what, number in events:
        if what == "accept":
            for _ in range(number):
                cluster.accept()
        elif what == "fail over":
            cluster.fail_over(number)
        elif what == "wait":
            await cluster.wait(number)
        else:
            await cluster.kill()
            if what == "start":
                cluster.start()
    await cluster.kill()
    cluster.start()
    await cluster.wait(30)
    await cluster.kill()
    assert cluster.held == {str(number) for number in range(len(cluster.log))}
