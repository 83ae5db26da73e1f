"""Aggregates in a real database: every kind of query against the oracle, and rows read."""

import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pymysql
import pytest
import pytest_asyncio
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.aggregates.batch import Batch
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.ports import Position
from actors.settings import ActorSettings
from serve_app.core.answer import fill_rows
from serve_app.core.query import Aggregate, AggregateQuery
from serve_app.stores.aggregates import Aggregates, statement
from serve_app.stores.database import create_engine
from setup.local.platform import Platform
from tests.bulk.tables import rows_read
from tests.oracle import Oracle, Tag
from tests.tables import ALL_TABLES
from tests.tags import FIRST_MS, typed, wire_tag

MINUTE = 27_434_880
"""Epoch minute of `FIRST_MS`."""
TOPIC_ID = "0" * 32
OFFSETS = {0: 17, 1: 4, 2: 2**40}
ORIGINS = ["CAMPAIGN_1", "CAMPAIGN_2", "a_b"]
BRANDS = ["Nike", "Nike ", "nike", "NIKE", "Nikę", "a_b", "\x00", "'; --"]
CATEGORIES = ["Shoes", "Shoes___Accessories", "b_c", "\U0001f45f"]
FILTERS = ("origin", "brand_id", "category_id")


def random_tags(seed: int, count: int) -> list[Tag]:
    """Tags over eleven minutes, one of them empty."""
    rng = random.Random(seed)
    minutes = [minute for minute in range(11) if minute != 4]
    return [
        wire_tag(
            "cookie",
            FIRST_MS + rng.choice(minutes) * 60_000 + rng.choice([0, 1, 30_000, 59_999]),
            action=rng.choice(["VIEW", "BUY"]),
            origin=rng.choice(ORIGINS),
            brand_id=rng.choice(BRANDS),
            category_id=rng.choice(CATEGORIES),
            price=rng.choice([0, 1, -5, 2**31 - 1, -(2**31)]),
        )
        for _ in range(count)
    ]


async def fill(platform: Platform, tags: list[Tag]) -> None:
    """Write them by the real sink: a third per Kafka partition, in two flushes."""
    settings = ActorSettings()
    for partition, end in OFFSETS.items():
        sink = MySQLSink(
            partition, database=Database(platform.settings(), settings), settings=settings
        )
        position = await sink.claim(Position(TOPIC_ID, 0, None))
        mine = tags[partition::3]
        for part, offset in ((mine[::2], 1), (mine[1::2], end)):
            batch = Batch()
            for tag in map(typed, part):
                batch.add(tag, tag.time_ms)
            moved = Position(TOPIC_ID, offset, batch.watermark_ms)
            await sink.flush(batch, position, moved)
            position = moved
        await sink.close()


@pytest.fixture(scope="module")
def database(mariadb_stores: Platform) -> Iterator["pymysql.Connection[Any]"]:
    """An independent client."""
    settings = mariadb_stores.settings()
    connection = pymysql.connect(
        host=settings.mysql_host,
        port=settings.mysql_port,
        user=settings.mysql_user,
        password=settings.mysql_password.get_secret_value(),
        database=settings.mysql_database,
        autocommit=True,
    )
    yield connection
    connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def oracle(mariadb_stores: Platform, database: "pymysql.Connection[Any]") -> Oracle:
    """An oracle with the content of the tables."""
    with database.cursor() as cursor:
        for table in ALL_TABLES:
            cursor.execute(f"TRUNCATE TABLE {table}")
    tags = random_tags(1, 1_500)
    await fill(mariadb_stores, tags)
    return Oracle(tags)


@pytest_asyncio.fixture
async def engine(mariadb_stores: Platform) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(mariadb_stores.settings())
    yield engine
    await engine.dispose()


def some_filters() -> Iterator[dict[str, str]]:
    """Every combination of filters, with existing values and one that does not exist."""
    values = {"origin": ["a_b"], "brand_id": ["Nike", "Nike ", "Adidas"], "category_id": ["b_c"]}
    for size in range(4):
        for names in itertools.combinations(FILTERS, size):
            for chosen in itertools.product(*(values[name] for name in names)):
                yield dict(zip(names, chosen, strict=True))


def as_query(
    filters: dict[str, str],
    *,
    action: str = "VIEW",
    aggregates: tuple[Aggregate, ...] = ("COUNT", "SUM_PRICE"),
    first: int = 0,
    last: int = 10,
) -> AggregateQuery:
    return AggregateQuery(MINUTE + first, MINUTE + last, action, aggregates, tuple(filters.items()))


@pytest.mark.parametrize("filters", list(some_filters()), ids=str)
async def test_every_combination_of_filters_agrees_with_the_oracle(
    engine: AsyncEngine, oracle: Oracle, filters: dict[str, str]
) -> None:
    for action in ("VIEW", "BUY"):
        query = as_query(filters, action=action)
        snapshot = await Aggregates(engine).snapshot(query, 10)
        answer = json.loads(msgspec.json.encode(fill_rows(query, snapshot.sums)))
        assert answer == oracle.aggregates(
            "2022-03-01T00:00:00_2022-03-01T00:10:00", action, ["COUNT", "SUM_PRICE"], **filters
        )
        if filters.get("brand_id") != "Adidas":
            assert snapshot.sums
        assert dict(snapshot.counted) == OFFSETS
        assert snapshot.topic_ids == {TOPIC_ID}


@pytest.mark.parametrize("name", FILTERS)
async def test_names_are_told_apart_to_the_byte(
    engine: AsyncEngine, oracle: Oracle, name: str
) -> None:
    values = {"origin": ORIGINS, "brand_id": BRANDS, "category_id": CATEGORIES}[name]
    unlike = [value.upper() + " " for value in values] + [values[0][:-1], "%", "_"]
    for value in dict.fromkeys([*values, *unlike]):
        query = as_query({name: value})
        answer = fill_rows(query, (await Aggregates(engine).snapshot(query, 10)).sums)
        expected = oracle.aggregates(
            "2022-03-01T00:00:00_2022-03-01T00:10:00",
            "VIEW",
            ["COUNT", "SUM_PRICE"],
            **{name: value},
        )
        assert answer.rows == expected["rows"]


@pytest.mark.parametrize(("first", "last"), [(0, 1), (3, 6), (4, 5), (9, 11), (50, 60)])
async def test_ranges_are_cut_at_both_ends(
    engine: AsyncEngine, oracle: Oracle, first: int, last: int
) -> None:
    query = as_query({}, first=first, last=last)
    answer = fill_rows(query, (await Aggregates(engine).snapshot(query, 10)).sums)
    time_range = f"2022-03-01T00:{first:02d}:00_2022-03-01T00:{last % 60:02d}:00"
    if last == 60:
        time_range = "2022-03-01T00:50:00_2022-03-01T01:00:00"
    expected = oracle.aggregates(time_range, "VIEW", ["COUNT", "SUM_PRICE"])
    assert answer.rows == expected["rows"]


async def test_an_empty_range_still_tells_how_far_the_log_is_counted(
    engine: AsyncEngine, oracle: Oracle
) -> None:
    snapshot = await Aggregates(engine).snapshot(as_query({}, first=3, last=3), 10)
    assert snapshot.sums == {}
    assert dict(snapshot.counted) == OFFSETS


async def test_minutes_far_away_are_no_error(engine: AsyncEngine, oracle: Oracle) -> None:
    for minute in (-1_035_593_760, -1, 0, 4_223_371_670):  # years 1, 1969, 1970, 9999
        query = AggregateQuery(minute, minute + 10, "VIEW", ("COUNT",))
        assert (await Aggregates(engine).snapshot(query, 10)).sums == {}


def test_totals_and_single_filters_read_roll_ups_and_the_rest_full_rows() -> None:
    for filters in some_filters():
        sql = str(statement(as_query(filters)).compile(dialect=mysql.dialect()))
        sums, _, _ = sql.partition(" UNION ALL ")
        assert ("FROM aggregates" in sums) == (len(filters) > 1)
        assert ("FROM rollups" in sums) == (len(filters) <= 1)
        assert "FROM partition_offsets" in sql
        assert f"bucket IN ({', '.join(str(MINUTE + n) for n in range(10))})" in sql
        # One statement is one snapshot.
        assert ";" not in sql
        # Special characters in a name are escaped.
        assert not any(value in sql for value in filters.values())


def test_an_empty_range_reads_no_rows() -> None:
    sql = str(statement(as_query({"origin": "x"}, first=2, last=2)))
    assert "rollups" not in sql
    assert "partition_offsets" in sql


async def test_a_name_past_the_cap_is_told_from_one_without_tags(
    engine: AsyncEngine, oracle: Oracle, mariadb_stores: Platform
) -> None:
    """Two minutes an hour later, with a full dictionary and one new brand."""
    later_ms = FIRST_MS + 3_600_000
    capped = ActorSettings(dictionary_max_names=1)
    sink = MySQLSink(0, database=Database(mariadb_stores.settings(), capped), settings=capped)
    batch = Batch()
    known = {"origin": "a_b", "category_id": "b_c"}
    for minute, brand in ((0, "Nike"), (1, "Past"), (1, "Past too")):
        tag = typed(wire_tag("c", later_ms + minute * 60_000, brand_id=brand, price=1, **known))
        batch.add(tag, tag.time_ms)
    old = await sink.position()
    assert old is not None
    try:
        report = await sink.flush(batch, old, old)
    finally:
        await sink.close()
    assert (report.late, report.capped_names) == (0, 2)

    async def capped_of(filters: dict[str, str], first: int, last: int = 0) -> frozenset[str]:
        query = as_query(filters, first=60 + first, last=60 + (last or first + 1))
        return (await Aggregates(engine).snapshot(query, 10)).capped

    for name in ("Past", "never sent"):
        assert await capped_of({"brand_id": name}, 1) == {"brand_id"}
        assert await capped_of({**known, "brand_id": name}, 0, 10) == {"brand_id"}
        # Where no tag is under id 0, none can have this name.
        assert await capped_of({"brand_id": name}, 0) == frozenset()
        assert await capped_of({"category_id": name}, 1) == frozenset()
    assert await capped_of({"brand_id": "Nike"}, 1) == frozenset()
    assert await capped_of({"brand_id": "never sent"}, 1 - 60, 10 - 60) == frozenset()
    assert await capped_of({}, 1) == frozenset()
    both = await Aggregates(engine).snapshot(as_query({}, first=60, last=62), 10)
    assert [sums for _, sums in sorted(both.sums.items())] == [(1, 1), (2, 2)]


async def test_the_snapshot_tells_how_far_back_the_tables_go(
    engine: AsyncEngine, oracle: Oracle, database: "pymysql.Connection[Any]"
) -> None:
    assert (await Aggregates(engine).snapshot(as_query({}), 10)).first_kept_minute == 0
    with database.cursor() as cursor:
        cursor.execute("UPDATE partition_offsets SET first_kept_hour = 7 WHERE kafka_partition = 1")
        snapshot = await Aggregates(engine).snapshot(as_query({}), 10)
        cursor.execute("UPDATE partition_offsets SET first_kept_hour = 0")
    assert snapshot.first_kept_minute == 7 * 60
    assert dict(snapshot.counted) == OFFSETS


@pytest.mark.parametrize(
    "filters", [f for f in some_filters() if "Adidas" not in f.values()], ids=str
)
async def test_no_query_reads_a_whole_minute(
    oracle: Oracle,
    database: "pymysql.Connection[Any]",
    filters: dict[str, str],
) -> None:
    """Rows read by the engine, by its own count: about the matching ones, not the minute's."""
    query = as_query(filters)
    sql = statement(query).text
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        columns = [column[0] for column in cursor.description]
        plan = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
        big = next(row for row in plan if row["table"] in ("rollups", "aggregates"))
        assert big["key"] is not None
        assert big["type"] in ("range", "ref")

        before = rows_read(cursor)
        cursor.execute(sql)
        rows = cursor.fetchall()
        read = rows_read(cursor) - before
    matching = _matching_rows(oracle, query)
    # Plus offsets, dictionary, one row past the end of each range, and the result.
    assert read <= matching * 2 + 120, (read, matching, rows)
    whole = len(_full_keys(oracle, query))
    if len(filters) > 1:
        assert read < whole


def _full_keys(oracle: Oracle, query: AggregateQuery) -> set[tuple[Any, ...]]:
    keys = set()
    for at, tag in enumerate(oracle.tags):
        minute = typed(tag).time_ms // 60_000
        if tag["action"] == query.action and minute in query.minutes:
            product = tag["product_info"]
            keys.add((minute, at % 3, tag["origin"], product["brand_id"], product["category_id"]))
    return keys


def _matching_rows(oracle: Oracle, query: AggregateQuery) -> int:
    keys = _full_keys(oracle, query)
    wanted = [dict(query.filters).get(name) for name in FILTERS]
    fits = [
        key
        for key in keys
        if all(value in (None, have) for value, have in zip(wanted, key[2:], strict=True))
    ]
    if len(query.filters) > 1:
        return len(fits)
    return len({key[:2] for key in fits})
