"""The two answers, as the JSON that the Web Panel compares."""

from collections.abc import Mapping, Sequence

import msgspec

from serve_app.core.bucket import format_bucket
from serve_app.core.query import AggregateQuery
from serve_app.core.tag import UserTag


class ProfileAnswer(msgspec.Struct, frozen=True):
    """Tags newest first, at most the query's limit of each kind."""

    cookie: str
    views: Sequence[UserTag]
    buys: Sequence[UserTag]


class AggregateAnswer(msgspec.Struct, frozen=True):
    """One row per minute, oldest first; every value is a string."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def fill_rows(query: AggregateQuery, sums: Mapping[int, tuple[int, int]]) -> AggregateAnswer:
    """The answer to ``query``, with zeros for the minutes that ``sums`` does not have.

    Args:
        query: gives the minutes, the columns and their order.
        sums: epoch minute → (count, sum of prices).
    """
    columns = ["1m_bucket", "action"]
    columns += [name for name, _ in query.filters]
    columns += [aggregate.lower() for aggregate in query.aggregates]
    fixed = [query.action, *(value for _, value in query.filters)]
    rows = []
    for minute in query.minutes:
        count, sum_price = sums.get(minute, (0, 0))
        values = [str(count if name == "COUNT" else sum_price) for name in query.aggregates]
        rows.append([format_bucket(minute), *fixed, *values])
    return AggregateAnswer(columns, rows)
