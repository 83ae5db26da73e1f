"""How much the processes of a soak grow. Pure functions from samples to text.

Growth is the Theil-Sen slope, the median of the slopes between all pairs of points: robust against
a burst, a restart or a garbage collection, but not against steady growth. It is blind to a single
step, which `rise` sees, and to what is left at each restart, which `left_behind` sees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median, median_low, quantiles
from typing import Final

from setup.local.stacks import stack_named
from tests.soak.results import Process, SoakSample, part_of

Point = tuple[float, float]
"""(seconds, value)."""

MOST_GROWTH_AN_HOUR: Final = 0.01
"""Share of a process's memory, once it is an hour old."""
MOST_GROWTH_OF_THE_YOUNG: Final = 0.03
"""The same of a soak too short for that: an interpreter's heap still settles, ever more slowly."""
LEAST_MOST_RISE: Final = 0.01
"""Share of a process's memory by which it may rise in however short a time."""
MOST_DRIFT: Final = 2.0
"""Descriptors or threads that a process may gain over a whole soak, by slope."""
MOST_RISE: Final = MOST_DRIFT + 1
"""The same, from the first samples to the last."""
MOST_PART_GROWTH: Final = 0.05
"""Share of the memory of a part, all its processes together, from one half hour to the last."""
WARM_UP_S: Final = 3_600.0
LEAST_POINTS: Final = 20
"""Samples of a process; a shorter life is not judged."""
_ENDS: Final = 10
"""Samples at either end of a process's life that are compared."""
_WINDOW_S: Final = 1_800.0
_MOST_PAIRS_OF: Final = 300
_MIB: Final = 2**20

BY_TAGS: Final = ("redis-",)
"""Parts whose memory is all that was ever sent: profiles are kept for 90 days without a tag."""


def slope(points: Sequence[Point]) -> float:
    """Slope per second; points in order of time, 0 for fewer than two."""
    every = -(-len(points) // _MOST_PAIRS_OF)
    slopes = [
        (second - first) / (later_s - time_s)
        for (time_s, first), (later_s, second) in combinations(points[::every], 2)
        if later_s > time_s
    ]
    return median(slopes) if slopes else 0.0


def growth_an_hour(points: Sequence[Point]) -> float:
    """Growth per hour, as a share of the median."""
    middle = median(value for _, value in points)
    return slope(points) * 3_600 / middle if middle > 0 else 0.0


def rise(points: Sequence[Point]) -> float:
    """By how much the last samples are above the first: the difference of their medians.

    0 if their quartiles overlap. Connections come and go, and the difference is chance.
    """
    first, last = ([value for _, value in part] for part in (points[:_ENDS], points[-_ENDS:]))
    if quantiles(last)[0] <= quantiles(first)[2]:
        return 0.0
    return median(last) - median(first)


def warm_up_s(samples: Sequence[SoakSample]) -> float:
    """An hour, or the first third of a soak of less than two."""
    total_s = samples[-1].at_s if samples else 0.0
    # A soak ends when its time is up, so its last sample comes up to a minute before that.
    return WARM_UP_S if total_s > 2 * WARM_UP_S - 90 else total_s / 3


def series(
    samples: Sequence[SoakSample], figure: Callable[[Process], float]
) -> dict[str, list[Point]]:
    """A figure over time for each process, from when it was warm on.

    Of processes with at least `LEAST_POINTS` samples then. One that a fault or a deploy replaced is
    another process, which has its own time to warm up.
    """
    found: dict[str, list[Point]] = {}
    for sample in samples:
        for name, process in sample.processes.items():
            found.setdefault(f"{name} of leg {sample.leg}", []).append(
                (sample.at_s, figure(process))
            )
    after_s = warm_up_s(samples)
    warm = {
        name: [point for point in points if point[0] > points[0][0] + after_s]
        for name, points in found.items()
    }
    return {name: points for name, points in warm.items() if len(points) >= LEAST_POINTS}


def part_of_series(name: str) -> str:
    """``kafka-1 4711 of leg 2`` → ``kafka-1``."""
    return part_of(name.partition(" of leg ")[0])


@dataclass(frozen=True)
class Growth:
    """Of one process; ``most_bytes`` is what it was given to fill, 0 if it was given nothing."""

    name: str
    """As of `series`."""
    median_bytes: float
    last_bytes: float
    an_hour: float
    risen: float
    """Share by which it rose from the first samples to the last, as of `rise`."""
    hours: float
    """Between these."""
    most_bytes: float

    @property
    def part(self) -> str:
        """Of the platform."""
        return part_of_series(self.name)

    @property
    def filling(self) -> bool:
        """Whether it is still within what it was given."""
        return self.last_bytes <= self.most_bytes


def given_bytes(part: str, stack: str) -> float:
    """Memory that a part was told to use, and what its program needs on top; 0 for most parts.

    A buffer pool and a heap fill over hours and are then full. What the programs need: some 250 MiB
    each of code, threads and buffers; Galera maps its cache of 128 MiB into memory, too. HAProxy
    keeps what the most connections at once took: 41 MiB after 4,300 of hostile clients. A raylet's
    one arena fills from 33 to 42 MiB in its first hour and stays there: in two and a half hours on
    cluster it grew by less than 0.1 % an hour after the first.
    """
    sizes = stack_named(stack)
    if part.startswith("kafka"):
        return (sizes.kafka_heap_mb + 250) * _MIB
    if part.startswith("mariadb-") and not part.startswith("mariadb-watch"):
        return (sizes.mariadb_buffer_pool_mb + 250 + 128 * (sizes.mariadb_nodes > 1)) * _MIB
    if part.startswith("haproxy"):
        return 64.0 * _MIB
    if part.startswith("raylet"):
        return 48.0 * _MIB
    return 0.0


def memory(samples: Sequence[SoakSample], stack: str) -> list[Growth]:
    """Growth of all processes that are judged by it, the fastest first."""
    found = [
        Growth(
            name,
            median(value for _, value in points),
            points[-1][1],
            growth_an_hour(points),
            rise(points) / max(1.0, median(value for _, value in points[:_ENDS])),
            (points[-_ENDS][0] - points[0][0]) / 3_600,
            given_bytes(name, stack),
        )
        for name, points in series(samples, lambda process: process.rss_bytes).items()
        if not name.startswith(BY_TAGS)
    ]
    return sorted(found, key=lambda one: -one.an_hour)


def most_growth(samples: Sequence[SoakSample]) -> float:
    """An hour, as a share of a process's memory."""
    young = warm_up_s(samples) < WARM_UP_S
    return MOST_GROWTH_OF_THE_YOUNG if young else MOST_GROWTH_AN_HOUR


def leaks(samples: Sequence[SoakSample], stack: str) -> list[str]:
    """Processes that grow, steadily or by a step."""
    most = most_growth(samples)
    found = []
    for one in memory(samples, stack):
        if one.filling:
            continue
        if one.an_hour > most:
            size = f"{one.median_bytes / _MIB:.0f} MiB"
            found.append(f"{one.name} grows by {one.an_hour:.1%} an hour of {size}")
        elif one.risen > max(LEAST_MOST_RISE, most * one.hours):
            found.append(
                f"{one.name} rose by {one.risen:.1%} to {one.last_bytes / _MIB:.0f} MiB in "
                f"{60 * one.hours:.0f} minutes"
            )
    return found


def unjudged(samples: Sequence[SoakSample]) -> list[str]:
    """Parts of which no process lived long enough."""
    seen: dict[str, int] = {}
    for sample in samples:
        for part in {part_of(name) for name in sample.processes}:
            seen[part] = seen.get(part, 0) + 1
    judged = {part_of_series(name) for name in series(samples, lambda _: 0.0)}
    return sorted(
        part for part, count in seen.items() if count > len(samples) / 2 and part not in judged
    )


def flat(samples: Sequence[SoakSample], what: str, figure: Callable[[Process], float]) -> list[str]:
    """Processes whose descriptors or threads grow, steadily or by a step."""
    found = []
    for name, points in series(samples, figure).items():
        drift = slope(points) * (points[-1][0] - points[0][0])
        step = rise(points)
        if drift > MOST_DRIFT or step > MOST_RISE:
            found.append(f"{name} gains {max(drift, step):.0f} {what} over {points[0][1]:.0f}")
    return found


@dataclass(frozen=True)
class Part:
    """All processes of one part, in the middle of some samples."""

    processes: int = 0
    rss_bytes: float = 0.0


def parts_of(samples: Sequence[SoakSample]) -> dict[str, Part]:
    """By the name of the part. Medians: a fault meanwhile moves neither figure."""
    names = {part_of(name) for sample in samples for name in sample.processes}
    found = {}
    for part in names:
        sizes = [
            [one.rss_bytes for name, one in sample.processes.items() if part_of(name) == part]
            for sample in samples
        ]
        found[part] = Part(median_low(map(len, sizes)), median(map(sum, sizes)))
    return found


def warm_ends(samples: Sequence[SoakSample]) -> list[tuple[list[SoakSample], list[SoakSample]]]:
    """Of each leg that is long enough: its first half hour once warm, and its last.

    Or halves of the time that it was warm, if that is shorter.
    """
    after_s = warm_up_s(samples)
    legs: dict[int, list[SoakSample]] = {}
    for sample in samples:
        legs.setdefault(sample.leg, []).append(sample)
    found = []
    for leg in legs.values():
        warm = [sample for sample in leg if sample.at_s > leg[0].at_s + after_s]
        if len(warm) < LEAST_POINTS:
            continue
        first_s, last_s = warm[0].at_s, warm[-1].at_s
        window_s = min(_WINDOW_S, (last_s - first_s) / 2)
        found.append(
            (
                [sample for sample in warm if sample.at_s <= first_s + window_s],
                [sample for sample in warm if sample.at_s > last_s - window_s],
            )
        )
    return found


def left_behind(samples: Sequence[SoakSample], stack: str) -> list[str]:
    """Parts that have more processes than before, or fewer, or larger ones.

    Whatever their age: what leaves something at each restart has no process that grows for long.
    """
    ends = warm_ends(samples)
    found = [] if ends else ["no leg was long enough to compare its parts"]
    for early, late in ends:
        before, after = parts_of(early), parts_of(late)
        for name in sorted(before | after):
            old, new = before.get(name, Part()), after.get(name, Part())
            given = given_bytes(name, stack) * max(1, new.processes)
            if old.processes != new.processes:
                found.append(f"{name}: {old.processes} processes became {new.processes}")
            elif (
                new.rss_bytes > (1 + MOST_PART_GROWTH) * old.rss_bytes
                and new.rss_bytes > given
                and not name.startswith(BY_TAGS)
            ):
                sizes = f"{old.rss_bytes / _MIB:.0f} to {new.rss_bytes / _MIB:.0f} MiB"
                found.append(f"{name}: all its processes rose from {sizes}")
    return found
