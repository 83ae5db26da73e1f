"""The rows of MySQL against the counts of the log."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from actors.tools.verify.differences import Difference, Kind
from actors.tools.verify.expected import Counts, ExpectedCounts, rolled_up
from actors.tools.verify.snapshot import TablesSnapshot
from serve_app.core.bucket import format_bucket

Exactly = Callable[[int, int], bool]
"""(Kafka partition, minute) → whether all its tags were counted here; else its rows may hold more
than we counted, and only less is wrong."""
_NONE = (0, 0)


async def compare_minute(
    taken: TablesSnapshot, minute: int, expected: ExpectedCounts, exactly: Exactly
) -> tuple[int, list[Difference]]:
    """How many rows were compared, and what differs, in both tables."""
    stored, stored_rolled = await taken.minute(minute)
    wanted: Counts = {}
    for (partition, action, origin, brand, category), (count, total) in expected.minutes.get(
        minute, {}
    ).items():
        key = (
            partition,
            action,
            taken.known(1, origin, minute),
            taken.known(2, brand, minute),
            taken.known(3, category, minute),
        )
        before, sum_before = wanted.get(key, _NONE)
        wanted[key] = before + count, sum_before + total
    wanted_rolled = rolled_up(wanted)
    found = [
        *_differ("aggregates", minute, wanted, stored, exactly),
        *_differ("rollups", minute, wanted_rolled, stored_rolled, exactly),
    ]
    return len(wanted) + len(wanted_rolled), found


def _differ(
    kind: Kind,
    minute: int,
    wanted: Mapping[Any, tuple[int, int]],
    stored: Mapping[Any, tuple[int, int]],
    exactly: Exactly,
) -> Iterator[Difference]:
    for key in sorted(wanted.keys() | stored.keys(), key=repr):
        want, have = wanted.get(key, _NONE), stored.get(key, _NONE)
        present = (key in wanted, key in stored)
        if want == have and present[0] == present[1]:
            continue
        # As many tags but another sum is wrong in any case.
        if not exactly(key[0], minute) and (not present[0] or have[0] > want[0]):
            continue
        yield Difference(
            kind, _where(kind, minute, key), _text(want, present[0]), _text(have, present[1])
        )


def _where(kind: Kind, minute: int, key: tuple[Any, ...]) -> str:
    partition, action, *rest = key
    if kind == "aggregates":
        what = " ".join(
            f"{n}={v!r}" for n, v in zip(("origin", "brand", "category"), rest, strict=True)
        )
    else:
        dimension, name = rest
        names = ("total", "origin", "brand", "category")
        label = names[dimension] if dimension < len(names) else f"dimension {dimension}"
        what = label if dimension == 0 else f"{label}={name!r}"
    return f"{format_bucket(minute)} {action} {what} partition {partition}"


def _text(pair: tuple[int, int], present: bool) -> str:
    return f"count {pair[0]}, sum {pair[1]}" if present else "no row"
