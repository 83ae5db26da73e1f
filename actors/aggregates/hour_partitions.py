"""Hourly table partitions: which are missing, which have expired, and the DDL for both.

A table partition is named after its last epoch hour (``p458000``), and splitting one never moves
its end. So a DROP by name can only drop the hours that were meant.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CATCH_ALL: Final = "p_rest"
SPARE_HOURS: Final = 48
"""A table partition of so many hours is kept after the last single hour; further hours are split
off it. After it come ever wider ones, and the catch-all. So a tag dated far ahead, which lies
there, is copied a few times until event time reaches it, and not every second day. A clock that
runs a year ahead still puts most of its tags into one of them, which is split once in months."""
_WIDER: Final = 4
"""Times the hours from the last single one on, from each of these to the next."""
_WIDENINGS: Final = 8
"""Up to 90 years."""


@dataclass(frozen=True, slots=True)
class TablePartition:
    """``last_hour`` (epoch) is the last one that it can hold; the catch-all has none."""

    name: str
    last_hour: int | None


def table_partition_name(last_hour: int) -> str:
    """Of every table partition that ends with this epoch hour."""
    return f"p{last_hour}"


def table_partitions(rows: Iterable[tuple[str, str]]) -> list[TablePartition]:
    """From names and upper bounds (exclusive, epoch minutes) as information_schema has them."""
    return [
        TablePartition(name, int(bound) // 60 - 1 if bound.isdecimal() else None)
        for name, bound in rows
    ]


def missing_hours(
    parts: Sequence[TablePartition], busy: Iterable[int], ahead: int
) -> Mapping[TablePartition, Sequence[int]]:
    """Which hours to split off which table partitions: ``busy`` ones and ``ahead`` more after each.

    ``parts`` must be in the order of their hours. Hours before the first one that is split off go
    with it.
    """
    wanted = {hour for first in busy for hour in range(first, first + ahead + 1)}
    found: dict[TablePartition, list[int]] = {}
    for hour in sorted(wanted):
        for part in parts:
            if part.last_hour is None or part.last_hour >= hour:
                if part.last_hour != hour:
                    found.setdefault(part, []).append(hour)
                break
    return found


def over_soon(part: TablePartition, hours: Sequence[int]) -> bool:
    """Whether the table partition will be dropped soon after ``hours``, even if it is not split."""
    last = part.last_hour
    return last is not None and last <= hours[-1] + SPARE_HOURS


def split_statement(table: str, part: TablePartition, hours: Sequence[int]) -> str:
    """Splits ``hours``, ascending, off ``part``, and what is left of it into ever wider ones."""
    ends = list(hours)
    for step in range(_WIDENINGS):
        end = hours[-1] + SPARE_HOURS * _WIDER**step
        if part.last_hour is None or end < part.last_hour:
            ends.append(end)
    clauses = [
        f"PARTITION {table_partition_name(hour)} VALUES LESS THAN ({(hour + 1) * 60})"
        for hour in ends
    ]
    bound = "MAXVALUE" if part.last_hour is None else f"({(part.last_hour + 1) * 60})"
    clauses.append(f"PARTITION {part.name} VALUES LESS THAN {bound}")
    return f"ALTER TABLE {table} REORGANIZE PARTITION {part.name} INTO ({', '.join(clauses)})"


def expired(parts: Iterable[TablePartition], first_kept: int) -> list[str]:
    """Names of those that hold nothing from the epoch hour ``first_kept`` on."""
    return [
        part.name for part in parts if part.last_hour is not None and part.last_hour < first_kept
    ]


def drop_statement(table: str, names: Sequence[str]) -> str:
    """Drops them all at once."""
    return f"ALTER TABLE {table} DROP PARTITION {', '.join(names)}"
