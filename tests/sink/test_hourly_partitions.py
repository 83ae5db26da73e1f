"""Table partitions are made while actors write, by several at once, and never twice."""

import asyncio

import pytest

from actors.batch import Batch
from actors.database import Database
from actors.table_partitions import TablePartitions
from serve_app.core.clock import SystemClock
from tests.sink.box import Box, Running

pytestmark = pytest.mark.asyncio


def bounds(box: Box, table: str) -> list[str]:
    rows = box.query(
        "SELECT PARTITION_DESCRIPTION FROM information_schema.PARTITIONS "
        f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' "
        "ORDER BY PARTITION_ORDINAL_POSITION"
    )
    return [str(row[0]) for row in rows]


async def test_made_by_three_at_once_under_writes(box: Box) -> None:
    first_hour = 1646092800 // 3600
    tables = [
        TablePartitions(
            Database(box.stores, box.settings, lock_wait_timeout=2),
            settings=box.settings,
            clock=SystemClock(),
        )
        for _ in range(3)
    ]
    async with Running(box) as running:
        for round_, hour in enumerate((first_hour, first_hour + 1, first_hour + 30)):
            await box.send(500)
            for one in tables:
                one.flushed(Batch(hours={hour: 1_000, 10**6: 1}))
            tasks = [asyncio.create_task(one.run()) for one in tables]
            top = str((hour + 1 + box.settings.hours_ahead) * 60)
            await running.until(
                lambda top=top: all(top in bounds(box, t) for t in ("aggregates", "rollups"))
            )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            made = bounds(box, "aggregates")
            assert made[-1] == "MAXVALUE"
            assert made[:-1] == sorted(set(made[:-1]), key=int)
            assert len(made) == 1 + (4, 5, 9)[round_]
        await running.until_done()
    box.assert_exact()
    for one in tables:
        await one.close()
