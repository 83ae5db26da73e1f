"""The bench of a day with minutes instead of hours: counts all, resumes, finds errors."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.core.query import AggregateQuery
from serve_app.stores.aggregates import statement
from setup.local.leftovers import marked_processes
from tests.bench.day.check import differences
from tests.bench.day.day import Day
from tests.bench.day.disk import GIB, TooLittleSpace, check_disk, needed_bytes
from tests.bench.day.results import Results, markdown
from tests.bulk.hours import HOUR_TAGS, START_MINUTE
from tests.bulk.questions import combinations
from tests.bulk.tables import connect, counted, rows_read
from tests.marks import third_tier

FIRST, ALL = 50_000, 80_000
"""Tags; neither is a whole number of minutes or of blocks."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("day")
    yield folder
    platform = Day(folder, 1).platform
    platform.down()
    assert not marked_processes(platform.folder.root)
    platform.clean_data()


@third_tier
def test_a_stopped_run_goes_on_and_is_right(folder: Path) -> None:
    told: list[int] = []
    # `run` itself compares with the oracle.
    Day(folder, FIRST, repeats=5).run(told.append, lambda step: None)
    assert told[-1] == FIRST
    day = Day(folder, ALL, repeats=5)
    day.run(told.append, lambda step: None)
    assert told[-1] == ALL
    (hour,) = Results.load(folder / "results.json").hours
    assert (hour.number, hour.end_tags, hour.tags, hour.resumed) == (1, ALL, ALL - FIRST, True)
    assert (hour.total_rows, hour.rest_rows) == (hour.rows, 0)
    assert hour.rows < ALL
    assert hour.actor_rss_bytes > 0
    assert len(hour.queries) == 15
    assert "brand_id, category_id (rare)" in markdown(day.results)

    stores = day.platform.settings()
    assert_bounded(day)
    assert sorted(counted(stores).values()) == [26_666, 26_667, 26_667]
    with connect(stores) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE rollups SET count = count + 1 WHERE dimension = 0 LIMIT 6")
    assert asyncio.run(differences(stores, 0, ALL))


def assert_bounded(day: Day) -> None:
    """No query reads more than a small part of a minute of the skewed stream."""
    with connect(day.platform.settings()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM aggregates WHERE bucket = {START_MINUTE}")
        ((minute_rows,),) = cursor.fetchall()
        for filters in combinations():
            query = AggregateQuery(
                START_MINUTE, START_MINUTE + 1, "VIEW", ("COUNT",), filters.values
            )
            before = rows_read(cursor)
            cursor.execute(statement(query).text)
            assert int(cursor.fetchall()[0][2]) > 0
            assert rows_read(cursor) - before < minute_rows / 20, str(filters)


def test_a_run_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert needed_bytes(24 * HOUR_TAGS, 0) > 20 * GIB
    with pytest.raises(TooLittleSpace, match="take fewer HOURS"):
        check_disk(tmp_path, 10**6 * HOUR_TAGS, 0)
