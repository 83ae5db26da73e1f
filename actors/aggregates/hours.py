"""Hours as partitions of a table: which are missing, which are over, and the statements.

A partition's name says where it ends, ``p458000`` with the epoch hour 458000, and splitting one
never moves its end. So whoever drops a partition by name can only drop what he meant.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CATCH_ALL: Final = "p_rest"
SPARE_HOURS: Final = 48
"""A partition for so many hours is left between the last single hour and the catch-all. Further
hours are split off it, and tags dated far ahead, which lie in the catch-all, need not be copied
each time."""


@dataclass(frozen=True, slots=True)
class TablePartition:
    """``last_hour`` (epoch) is the last one that it can hold; the catch-all has none."""

    name: str
    last_hour: int | None


def partition_name(last_hour: int) -> str:
    """Of every partition that ends with this epoch hour."""
    return f"p{last_hour}"


def table_partitions(rows: Iterable[tuple[str, str]]) -> list[TablePartition]:
    """From names and upper bounds (exclusive, epoch minutes) as information_schema has them."""
    return [
        TablePartition(name, int(bound) // 60 - 1 if bound.isdecimal() else None)
        for name, bound in rows
    ]


def missing_hours(
    partitions: Sequence[TablePartition], busy: Iterable[int], ahead: int
) -> Mapping[TablePartition, Sequence[int]]:
    """Which hours to split off which partitions: ``busy`` ones and ``ahead`` more after each.

    ``partitions`` in the order of their hours. What lies before the first hour that is split off
    goes with it.
    """
    wanted = {hour for first in busy for hour in range(first, first + ahead + 1)}
    found: dict[TablePartition, list[int]] = {}
    for hour in sorted(wanted):
        for partition in partitions:
            if partition.last_hour is None or partition.last_hour >= hour:
                if partition.last_hour != hour:
                    found.setdefault(partition, []).append(hour)
                break
    return found


def over_soon(partition: TablePartition, hours: Sequence[int]) -> bool:
    """Whether the partition will be dropped soon after ``hours``, even if it is not split."""
    last = partition.last_hour
    return last is not None and last <= hours[-1] + SPARE_HOURS


def split_statement(table: str, partition: TablePartition, hours: Sequence[int]) -> str:
    """Splits ``hours``, ascending, off ``partition``."""
    ends = list(hours)
    if partition.last_hour is None:
        ends.append(ends[-1] + SPARE_HOURS)
    parts = [
        f"PARTITION {partition_name(hour)} VALUES LESS THAN ({(hour + 1) * 60})" for hour in ends
    ]
    bound = "MAXVALUE" if partition.last_hour is None else f"({(partition.last_hour + 1) * 60})"
    parts.append(f"PARTITION {partition.name} VALUES LESS THAN {bound}")
    return f"ALTER TABLE {table} REORGANIZE PARTITION {partition.name} INTO ({', '.join(parts)})"


def expired(partitions: Iterable[TablePartition], first_kept: int) -> list[str]:
    """Names of those that hold nothing from the epoch hour ``first_kept`` on."""
    return [
        partition.name
        for partition in partitions
        if partition.last_hour is not None and partition.last_hour < first_kept
    ]


def drop_statement(table: str, names: Sequence[str]) -> str:
    """Drops them all at once."""
    return f"ALTER TABLE {table} DROP PARTITION {', '.join(names)}"
