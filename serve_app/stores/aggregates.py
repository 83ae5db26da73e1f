"""Aggregates: sums, read in the same snapshot as the position that they reflect.

Totals and single filters are read from the roll-ups, two and three filters from the full-key
rows. ``bucket IN (the minutes)`` rather than a range lets every further column of the key narrow
the search. Names become numbers inside the statement: one snapshot tells everything, and a name
that the dictionary does not have (yet) matches no row.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from serve_app.core.errors import StoreAway
from serve_app.core.names import (
    AGGREGATES_TABLE,
    DICTIONARY_TABLE,
    DIMENSION_BRAND,
    DIMENSION_CATEGORY,
    DIMENSION_ORIGIN,
    DIMENSION_TOTAL,
    OFFSETS_TABLE,
    ROLLUPS_TABLE,
)
from serve_app.core.query import AggregateQuery
from serve_app.core.tag import ACTIONS
from serve_app.stores.database import binary_literal

logger = logging.getLogger(__name__)

_DIMENSIONS: Final = {
    "origin": (DIMENSION_ORIGIN, "origin_id"),
    "brand_id": (DIMENSION_BRAND, "brand_id"),
    "category_id": (DIMENSION_CATEGORY, "category_id"),
}
_OFFSET, _SUM, _CAPPED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one statement saw."""

    sums: Mapping[int, tuple[int, int]]
    """Epoch minute → (count, sum of prices); minutes without an event are absent."""
    counted: Mapping[int, int]
    """Kafka partition → the next offset that is not in the sums yet."""
    topic_ids: frozenset[str]
    """Ids of the topics that the offsets belong to: one, unless two were mixed up."""
    first_kept_minute: int = 0
    """Epoch minute; the tables may lack anything older."""
    capped: frozenset[str] = frozenset()
    """Filters whose name may have tags in these minutes that are not counted by name."""


class Aggregates:
    """Read only: the actors write."""

    def __init__(self, engine: AsyncEngine) -> None:
        """``engine`` is one of `create_engine`: reading costs a ping and one statement."""
        self._engine = engine

    async def snapshot(self, query: AggregateQuery, timeout_s: float) -> Snapshot:
        """Sums for ``query`` together with the offsets that they reflect.

        Raises:
            StoreAway: the server cannot be reached, refuses, or takes longer than ``timeout_s``.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._snapshot(query)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            logger.warning("aggregates cannot be read: %r", error)
            away = f"the database does not answer: {type(error).__name__}"
            raise StoreAway(away) from error

    async def _snapshot(self, query: AggregateQuery) -> Snapshot:
        sums: dict[int, tuple[int, int]] = {}
        counted: dict[int, int] = {}
        topic_ids: set[str] = set()
        first_kept_hour = 0
        capped: set[str] = set()
        async with self._engine.connect() as connection:
            rows = await connection.execute(statement(query))
            for kind, key, first, second, identifier in rows:
                if kind == _OFFSET:
                    counted[key] = int(first)
                    topic_ids.add(identifier)
                    first_kept_hour = max(first_kept_hour, int(second))
                elif kind == _CAPPED:
                    capped.add(identifier)
                else:
                    sums[key] = int(first), int(second)
        return Snapshot(
            sums, counted, frozenset(topic_ids), first_kept_hour * 60, frozenset(capped)
        )


def statement(query: AggregateQuery) -> TextClause:
    """One statement for both.

    InnoDB reads a statement from one snapshot at READ COMMITTED and at REPEATABLE READ, the sums
    and the offsets alike.
    """
    offsets = (
        f"SELECT {_OFFSET}, kafka_partition, next_offset, first_kept_hour, topic_id "
        f"FROM {OFFSETS_TABLE}"
    )
    if not query.minutes:
        return text(offsets)
    minutes = ", ".join(map(str, query.minutes))
    conditions = [f"bucket IN ({minutes})", f"action = {ACTIONS.index(query.action)}"]
    capped = "".join(_capped(conditions, name, value) for name, value in query.filters)
    if len(query.filters) > 1:
        table = AGGREGATES_TABLE
        for name, value in query.filters:
            dimension, column = _DIMENSIONS[name]
            conditions.append(f"{column} = {_number(dimension, value)}")
    else:
        table = ROLLUPS_TABLE
        if query.filters:
            ((name, value),) = query.filters
            dimension, _ = _DIMENSIONS[name]
            conditions += [f"dimension = {dimension}", f"value_id = {_number(dimension, value)}"]
        else:
            conditions += [f"dimension = {DIMENSION_TOTAL}", "value_id = 0"]
    return text(
        f"SELECT {_SUM}, bucket, SUM(count), SUM(sum_price), '' FROM {table}"
        f" WHERE {' AND '.join(conditions)} GROUP BY bucket UNION ALL {offsets}{capped}"
    )


def _capped(conditions: Sequence[str], filter_name: str, value: str) -> str:
    """One row if some tags of these minutes are not counted by name, and may have this one.

    They may be if the name has no number, or got it in a later hour: the dictionary of a dimension
    is bounded, and id 0 stands for all names past the bound.
    """
    dimension, _ = _DIMENSIONS[filter_name]
    where = [*conditions, f"dimension = {dimension}", "value_id = 0"]
    complete = (
        f"SELECT 1 FROM {DICTIONARY_TABLE} AS known WHERE known.dimension = {dimension} "
        f"AND name = {binary_literal(value)} AND complete_from_hour <= bucket DIV 60"
    )
    return (
        f" UNION ALL SELECT {_CAPPED}, dimension, 0, 0, '{filter_name}' FROM {ROLLUPS_TABLE}"
        f" WHERE {' AND '.join(where)} AND NOT EXISTS ({complete}) GROUP BY dimension"
    )


def _number(dimension: int, name: str) -> str:
    literal = binary_literal(name)
    return f"(SELECT id FROM {DICTIONARY_TABLE} WHERE dimension = {dimension} AND name = {literal})"
