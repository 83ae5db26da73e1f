"""Multi-row upserts of integer rows: the text of one statement.

Written out here and not by SQLAlchemy, because its ``AS new ON DUPLICATE KEY UPDATE`` is unknown
to MariaDB, and aiomysql sends it row by row (docs/architecture.md, C14). ``VALUES()`` works on
MariaDB and MySQL.
Every value is an integer, so there is nothing to quote.
"""

from collections.abc import Sequence
from typing import Final

IntRow = tuple[int, ...]

_ADD: Final = " ON DUPLICATE KEY UPDATE count = count + VALUES(count), " + (
    "sum_price = sum_price + VALUES(sum_price)"
)


def aggregates_head(table: str) -> str:
    """Up to the first row, for ``aggregates`` or a table of its form."""
    return (
        f"INSERT INTO {table} (bucket, action, origin_id, brand_id, category_id, "
        "kafka_partition, count, sum_price) VALUES "
    )


def rollups_head(table: str) -> str:
    """Up to the first row, for ``rollups`` or a table of its form."""
    return (
        f"INSERT INTO {table} (bucket, action, dimension, value_id, "
        "kafka_partition, count, sum_price) VALUES "
    )


def upsert(head: str, rows: Sequence[IntRow]) -> str:
    """The statement that adds ``rows``, whose columns are those of ``head``, to what is there."""
    # Python writes a list of tuples of integers as SQL does, at half the cost of formatting rows.
    return head + repr(list(rows))[1:-1] + _ADD
