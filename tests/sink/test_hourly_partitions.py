"""Table partitions are created while actors write, by several keepers, and never twice."""

import asyncio

import pytest

from tests.sink.harness import Harness, Running

pytestmark = pytest.mark.asyncio

FIRST_HOUR = 1646092800 // 3600


def given_hours(harness: Harness, **tags: int) -> None:
    """Simulate counts of the actor of another Kafka partition: tags by hour after the first."""
    text = ",".join(f'"{FIRST_HOUR + int(at[1:])}":{number}' for at, number in tags.items())
    harness.query(
        "REPLACE INTO partition_offsets (kafka_partition, topic_id, next_offset, hour_tags) "
        f"VALUES (9, '{'0' * 32}', 0, '{{{text}}}')"
    )


async def test_made_by_three_at_once_under_writes(harness: Harness) -> None:
    ahead = harness.settings.hours_ahead
    keepers = [harness.tables_keeper() for _ in range(3)]
    async with Running(harness) as running:
        for newest in (0, 1, 30):
            given_hours(harness, **{f"h{newest}": 10_000, "h900000": 1})
            await harness.send(500)
            tasks = [asyncio.create_task(one.run()) for one in keepers]
            top = f"p{FIRST_HOUR + newest + ahead}"

            def made_everywhere(top: str = top) -> bool:
                tables = ("aggregates", "rollups")
                return all(top in harness.table_partitions(table) for table in tables)

            await running.until(made_everywhere)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            made = harness.table_partitions("aggregates")
            assert made[-1] == "p_rest"
            assert made[:-1] == sorted(set(made[:-1]), key=lambda name: int(name[1:]))
            for keeper in keepers:
                keeper.flushed(None)  # type: ignore[arg-type]
        # 0 to 7, 30 to 36, the rest of the spare hours, seven wider ones, the catch-all.
        assert len(made) == (ahead + 2) + (ahead + 1) + 1 + 7 + 1
        await running.until_done()
    harness.assert_exact()
    for keeper in keepers:
        await keeper.close()


async def test_a_partition_made_for_a_wrong_date_is_taken_apart(harness: Harness) -> None:
    keeper = harness.tables_keeper()
    given_hours(harness, h900000=2_000)
    await keeper.work()
    assert harness.table_partitions("rollups")[0] == f"p{FIRST_HOUR + 900_000}"
    given_hours(harness, h900000=2_000, h5=50_000)
    await keeper.work()
    made = harness.table_partitions("rollups")
    assert made[:2] == [f"p{FIRST_HOUR + 5}", f"p{FIRST_HOUR + 6}"]
    assert f"p{FIRST_HOUR + 900_000}" in made
    assert made == harness.table_partitions("aggregates")
    await keeper.close()
