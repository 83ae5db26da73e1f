"""The replay after a fail-over with everything around it in memory."""

import asyncio

import pytest

from actors.replay import ReplayLoop
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
