"""Compares old and new tables minute by minute, although they stop at different offsets.

The records between a partition's two offsets are read from the log and added to the side that lacks
them, so a difference is never only one of timing.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from actors.aggregates.database import Database
from actors.aggregates.tables import LIVE, OLD, Tables
from actors.log.entries import tag_of
from actors.log.ranges import records_between
from actors.log.topic_reader import TopicReader
from actors.settings import ActorSettings
from serve_app.core.bucket import minute_of
from serve_app.core.names import DIMENSION_TOTAL
from serve_app.core.settings import Settings
from serve_app.core.tag import ACTIONS

READ_S: Final = 600.0
Key = tuple[int, str]
"""(epoch minute, action)."""


@dataclass(frozen=True, slots=True)
class CountDifference:
    """One minute and action; pairs are (count, sum of prices)."""

    minute: int
    action: str
    old: tuple[int, int]
    new: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Totals:
    offsets: Mapping[int, int]
    sums: Mapping[Key, tuple[int, int]]
    first_kept_minute: int
    """The tables may hold anything or nothing that is older."""


async def compare(
    stores: Settings, settings: ActorSettings, reader: TopicReader
) -> list[CountDifference]:
    """Differences between ``…_old`` and the live tables, oldest minute first.

    Raises ``StoreUnavailable`` when a store does not answer.
    """
    database = Database(stores, settings, lock_wait_timeout=60)
    try:
        old = await database.transaction(lambda c: _totals(c, OLD), READ_S)
        new = await database.transaction(lambda c: _totals(c, LIVE), READ_S)
    finally:
        await database.close()
    partitions = old.offsets.keys() & new.offsets.keys()
    low = {p: min(old.offsets[p], new.offsets[p]) for p in partitions}
    high = {p: max(old.offsets[p], new.offsets[p]) for p in partitions}
    olds: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    news: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
    for counts, totals in ((olds, old), (news, new)):
        counts.update({key: list(pair) for key, pair in totals.sums.items()})
    async for portion in records_between(reader, low, high):
        for partition, record in portion:
            tag = tag_of(record)
            if tag is None:
                continue
            behind = olds if old.offsets[partition] < new.offsets[partition] else news
            row = behind[minute_of(tag.time_ms), tag.action]
            row[0] += 1
            row[1] += tag.product_info.price
    first_kept_minute = max(old.first_kept_minute, new.first_kept_minute)
    return [
        CountDifference(*key, (olds[key][0], olds[key][1]), (news[key][0], news[key][1]))
        for key in sorted(olds.keys() | news.keys())
        if olds[key] != news[key] and key[0] >= first_kept_minute
    ]


async def _totals(connection: AsyncConnection, tables: Tables) -> _Totals:
    # One statement, so one snapshot.
    rows = await connection.exec_driver_sql(
        f"SELECT 1, bucket, action, SUM(count), SUM(sum_price) FROM {tables.rollups} "
        f"WHERE dimension = {DIMENSION_TOTAL} GROUP BY bucket, action "
        f"UNION ALL SELECT 0, kafka_partition, next_offset, first_kept_hour, 0 "
        f"FROM {tables.offsets}"
    )
    offsets: dict[int, int] = {}
    sums: dict[Key, tuple[int, int]] = {}
    first_kept_hour = 0
    for row in rows:
        is_sum, first, second, count, total = tuple(row)
        if is_sum:
            sums[int(first), ACTIONS[int(second)]] = int(count), int(total)
        else:
            offsets[int(first)] = int(second)
            first_kept_hour = max(first_kept_hour, int(count))
    return _Totals(offsets, sums, first_kept_hour * 60)
