"""Direct access to the tables, for benches: empties them, fills them without the log."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import pymysql

from actors.aggregates.batch import Batch, Name
from actors.aggregates.database import Database
from actors.aggregates.dictionary import Dictionary
from actors.aggregates.mysql_sink import full_rows, rollup_rows
from actors.aggregates.upsert import aggregates_head, rollups_head, upsert
from actors.settings import ActorSettings
from serve_app.core.names import (
    AGGREGATES_TABLE,
    DIMENSION_BRAND,
    DIMENSION_CATEGORY,
    DIMENSION_ORIGIN,
    OFFSETS_TABLE,
    ROLLUPS_TABLE,
)
from serve_app.core.settings import Settings
from serve_app.core.tag import ProductInfo, UserTag
from tests.bulk.hours import MINUTE_TAGS, PARTITIONS, START_MINUTE, hour_codes
from tests.tables import ALL_TABLES
from tests.webpanel import catalogue as shop
from tests.webpanel.stream import action_of, origin_of, product_of


def connect(
    stores: Settings, *, autocommit: bool = True, read_timeout_s: int | None = None
) -> "pymysql.Connection[Any]":
    """A connection by another library than the product's."""
    return pymysql.connect(
        host=stores.mysql_host,
        port=stores.mysql_port,
        user=stores.mysql_user,
        password=stores.mysql_password.get_secret_value(),
        database=stores.mysql_database,
        autocommit=autocommit,
        read_timeout=read_timeout_s,
    )


def empty_tables(stores: Settings) -> None:
    """Empty all tables; ids of names start at 1 again."""
    with connect(stores) as connection, connection.cursor() as cursor:
        for table in ALL_TABLES:
            cursor.execute(f"TRUNCATE TABLE {table}")


def flush_statements(
    batch: Batch, ids: Mapping[Name, int], partition: int, settings: ActorSettings
) -> tuple[list[str], int]:
    """The INSERTs that an actor sends for a batch, and their number of rows."""
    texts: list[str] = []
    total = 0
    for head, rows in (
        (aggregates_head(AGGREGATES_TABLE), full_rows(batch, ids, partition)),
        (rollups_head(ROLLUPS_TABLE), rollup_rows(batch, ids, partition)),
    ):
        total += len(rows)
        size = settings.statement_rows
        texts += [upsert(head, rows[at : at + size]) for at in range(0, len(rows), size)]
    return texts, total


async def name_ids(stores: Settings, names: Iterable[Name], until_hour: int) -> Mapping[Name, int]:
    """Ids of names from the product's dictionary, leased up to this epoch hour."""
    settings = ActorSettings()
    database = Database(stores, settings)
    try:
        return await Dictionary(
            database, max_names=settings.dictionary_max_names, timeout_s=60
        ).ids(dict.fromkeys(names, until_hour))
    finally:
        await database.close()


def fill(stores: Settings, minutes: int) -> int:
    """Write the first ``minutes`` of the stream to empty tables; returns the number of rows."""
    names = {
        *((DIMENSION_ORIGIN, name) for name in shop.ORIGINS),
        *((DIMENSION_BRAND, name) for name in shop.BRANDS),
        *((DIMENSION_CATEGORY, name) for name in shop.CATEGORIES),
    }
    ids = asyncio.run(name_ids(stores, names, (START_MINUTE + minutes) // 60))
    settings, total = ActorSettings(), 0
    with connect(stores, autocommit=False) as connection, connection.cursor() as cursor:
        hours = range(START_MINUTE // 60, START_MINUTE // 60 + -(-minutes // 60))
        bounds = [f"PARTITION p{hour} VALUES LESS THAN ({(hour + 1) * 60})" for hour in hours]
        bounds.append("PARTITION p_rest VALUES LESS THAN MAXVALUE")
        for table in (AGGREGATES_TABLE, ROLLUPS_TABLE):
            # Partitions as the actors would have them.
            cursor.execute(f"ALTER TABLE {table} PARTITION BY RANGE (bucket) ({', '.join(bounds)})")
        for minute in range(minutes):
            hour, at = divmod(minute, 60)
            if at == 0:
                codes = hour_codes(hour)
            of_minute = list(islice(codes, MINUTE_TAGS))
            for partition in range(PARTITIONS):
                batch = batch_of(of_minute[partition::PARTITIONS])
                texts, rows = flush_statements(batch, ids, partition, settings)
                for text in texts:
                    cursor.execute(text)
                connection.commit()
                total += rows
    return total


def batch_of(codes: Iterable[tuple[int, int]]) -> Batch:
    """The tags of (event time in ms, code)."""
    batch = Batch()
    for time_ms, code in codes:
        product = product_of(code)
        info = ProductInfo(
            product,
            shop.BRANDS[shop.PRODUCT_BRAND[product]],
            shop.CATEGORIES[shop.PRODUCT_CATEGORY[product]],
            shop.PRODUCT_PRICE[product],
        )
        origin, action = shop.ORIGINS[origin_of(code)], shop.ACTIONS[action_of(code)]
        batch.add(UserTag("", "", "", "", action, origin, info), time_ms)
    return batch


def counted(stores: Settings) -> dict[int, int]:
    """Next offset that is not in the tables yet, by Kafka partition."""
    with connect(stores) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT kafka_partition, next_offset FROM {OFFSETS_TABLE}")
        return {number: int(offset) for number, offset in cursor.fetchall()}


def rows_read(cursor: "pymysql.cursors.Cursor") -> int:
    """Rows that the storage engine has read for this connection so far."""
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _, value in cursor.fetchall())
