"""The loop of owed profiles with everything around it in memory."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.ports import Record
from actors.repair import RepairLoop
from actors.settings import ActorSettings
from serve_app.core.tag import UserTag
from tests.clock import FakeClock
from tests.unit.actors.fakes import FakeDeadLetters, tag_json

pytestmark = pytest.mark.asyncio


class FakeReader:
    """One partition; silent until it is opened again, if it was told so."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.values: list[bytes] = []
        self.at = 0
        self.stored: dict[int, int] = {}
        self.silent = False
        self.opened = 0

    async def open(self) -> None:
        self.silent = False
        self.opened += 1

    async def close(self) -> None:
        pass

    async def begins(self) -> dict[int, int]:
        return {0: 0}

    async def ends(self) -> dict[int, int]:
        return {0: len(self.values)}

    async def committed(self) -> dict[int, int]:
        return dict(self.stored)

    def seek(self, offsets: dict[int, int]) -> None:
        self.at = offsets[0]

    async def fetch(self, max_records: int, timeout_s: float) -> list[tuple[int, Record]]:
        values = [] if self.silent else self.values[self.at : self.at + max_records]
        records = [(0, Record(self.at + n, value)) for n, value in enumerate(values)]
        self.at += len(records)
        await self.clock.sleep(0.0 if records else timeout_s)
        return records

    async def commit(self, offsets: dict[int, int]) -> None:
        self.stored |= offsets


class FakeWriter:
    """Redis: holds everything, or nothing."""

    def __init__(self) -> None:
        self.away = False

    async def write(self, tags: Sequence[UserTag]) -> list[Exception | None]:
        return [ConnectionError("away") if self.away else None for _ in tags]


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

    async def pass_s(seconds: float) -> None:
        end_s = clock.monotonic() + seconds
        while clock.monotonic() < end_s:
            assert not task.done()
            await asyncio.sleep(0)

    try:
        reader.values += [tag_json()] * 2
        await pass_s(20)
        assert (reader.stored, reader.opened) == ({0: 2}, 1)
        reader.silent = True
        # Nothing to hand over is no reason.
        await pass_s(60)
        assert reader.opened == 1
        reader.values += [tag_json()]
        await pass_s(30)
        assert (reader.stored, reader.opened) == ({0: 3}, 2)
        # Nor are tags that Redis does not take.
        writer.away = True
        reader.values += [tag_json()]
        await pass_s(60)
        assert (reader.stored, reader.opened, loop.document()["owed"]) == ({0: 3}, 2, 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
