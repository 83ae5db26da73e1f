"""The loop of owed profiles with everything around it in memory."""

import asyncio

import pytest

from actors.profiles.repair import RepairLoop
from actors.settings import ActorSettings
from tests.clock import FakeClock
from tests.unit.actors.fakes import FakeDeadLetters, FakeReader, FakeWriter, pass_seconds, tag_json

pytestmark = pytest.mark.asyncio


async def test_a_reader_that_has_records_and_hands_none_over_is_opened_anew() -> None:
    clock, writer = FakeClock(), FakeWriter()
    reader = FakeReader(clock)
    loop = RepairLoop(
        reader=reader,  # type: ignore[arg-type]
        profiles=writer,
        dead_letters=FakeDeadLetters(),
        clock=clock,
        settings=ActorSettings(),
    )
    task = asyncio.create_task(loop.run())

    try:
        reader.values += [tag_json()] * 2
        await pass_seconds(clock, 20, task)
        assert (reader.stored, reader.opened) == ({0: 2}, 1)
        reader.silent = True
        # Nothing to hand over is no reason.
        await pass_seconds(clock, 60, task)
        assert reader.opened == 1
        reader.values += [tag_json()]
        await pass_seconds(clock, 30, task)
        assert (reader.stored, reader.opened) == ({0: 3}, 2)
        # Nor are tags that Redis does not take.
        writer.away = True
        reader.values += [tag_json()]
        await pass_seconds(clock, 60, task)
        assert (reader.stored, reader.opened, loop.document()["owed"]) == ({0: 3}, 2, 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
