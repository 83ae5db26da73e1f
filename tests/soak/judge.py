"""The rules that a soak is judged by. Pure functions from samples to text.

Growth is the Theil-Sen slope, the median of the slopes between all pairs of points: robust against
a burst, a restart or a garbage collection, but not against steady growth.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Final

from tests.soak.results import Leg, Process, SoakSample

Point = tuple[float, float]
"""(seconds, value)."""

MOST_GROWTH_AN_HOUR: Final = 0.01
"""Share of a process's memory."""
MOST_DRIFT: Final = 2.0
"""Descriptors or threads that a process may gain over a whole soak."""
MOST_P99_GROWTH: Final = 1.3
MOST_TABLE_GROWTH: Final = 0.10
"""Share, between two hours that both hold a full day of event time."""
WARM_UP_S: Final = 3_600.0
LEAST_POINTS: Final = 20
"""Samples of a process; a shorter life is not judged."""
DAY_MS: Final = 86_400_000
KEPT_MS: Final = 29 * 3_600_000
"""Event time after which as much is dropped as is added."""
_MOST_PAIRS_OF: Final = 300


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


def warm(samples: Sequence[SoakSample]) -> list[SoakSample]:
    """Samples after the first hour, or after the first third of a shorter soak."""
    if not samples:
        return []
    after_s = min(WARM_UP_S, samples[-1].at_s / 3)
    return [sample for sample in samples if sample.at_s > after_s]


def series(
    samples: Iterable[SoakSample], figure: Callable[[Process], float]
) -> dict[str, list[Point]]:
    """A figure over time, for each process with at least `LEAST_POINTS` samples."""
    found: dict[str, list[Point]] = {}
    for sample in samples:
        for name, process in sample.processes.items():
            found.setdefault(f"{name} of leg {sample.leg}", []).append(
                (sample.at_s, figure(process))
            )
    return {name: points for name, points in found.items() if len(points) >= LEAST_POINTS}


def memory(samples: Sequence[SoakSample]) -> list[str]:
    """Processes that grow."""
    found = []
    for name, points in series(warm(samples), lambda process: process.rss_bytes).items():
        growth = growth_an_hour(points)
        if growth > MOST_GROWTH_AN_HOUR:
            mib = median(value for _, value in points) / 2**20
            found.append(f"{name} grows by {growth:.1%} an hour of {mib:.0f} MiB")
    return found


def flat(samples: Sequence[SoakSample], what: str, figure: Callable[[Process], float]) -> list[str]:
    """Processes whose descriptors or threads grow."""
    found = []
    for name, points in series(warm(samples), figure).items():
        rise = slope(points) * (points[-1][0] - points[0][0])
        if rise > MOST_DRIFT:
            found.append(f"{name} gains {rise:.0f} {what} over {points[0][1]:.0f}")
    return found


def latency(samples: Sequence[SoakSample]) -> list[str]:
    """Describes a rise of p99 from the second hour to the last, or between thirds."""
    third_s = min(WARM_UP_S, samples[-1].at_s / 3) if samples else 0.0
    second = [one.p99_ms for one in samples if third_s < one.at_s <= 2 * third_s]
    last = [one.p99_ms for one in samples if one.at_s > samples[-1].at_s - third_s]
    if not second or not last or median(last) <= MOST_P99_GROWTH * median(second):
        return []
    return [f"tags' p99 rose from {median(second):.1f} ms to {median(last):.1f} ms"]


def kept_day(samples: Sequence[SoakSample]) -> list[SoakSample]:
    """Samples from when on hours are dropped as fast as they are added."""
    if not samples:
        return []
    full_ms = samples[0].event_ms + KEPT_MS
    return [sample for sample in samples if sample.event_ms >= full_ms]


def tables(samples: Sequence[SoakSample]) -> list[str]:
    """Rows, table partitions and names that grow although only a day is kept."""
    kept = kept_day(samples)
    found = []
    for what, figures in (
        ("rows", [sample.rows for sample in kept]),
        ("table partitions", [sample.table_partitions for sample in kept]),
        ("names", [sample.names for sample in kept]),
    ):
        values: dict[str, list[Point]] = {}
        for sample, figure in zip(kept, figures, strict=True):
            for name, value in figure.items():
                values.setdefault(name, []).append((sample.at_s, value))
        for name, points in values.items():
            if len(points) < LEAST_POINTS:
                continue
            quarter = len(points) // 4
            first = median(value for _, value in points[:quarter])
            last = median(value for _, value in points[-quarter:])
            if last > first * (1 + MOST_TABLE_GROWTH) + MOST_DRIFT:
                found.append(f"{what} of {name} rose from {first:,.0f} to {last:,.0f}")
    return found


def too_short(samples: Sequence[SoakSample]) -> list[str]:
    """Lists data too short for a slope: a rule without data counts as broken."""
    counts = {
        "samples after the warm-up": len(warm(samples)),
        "samples with a full day of event time": len(kept_day(samples)),
    }
    return [
        f"{count} {what}, at least {LEAST_POINTS}"
        for what, count in counts.items()
        if count < LEAST_POINTS
    ]


def answers(legs: Sequence[Leg]) -> list[str]:
    """Wrong answers, lost tags, differences between the stores."""
    found = []
    for number, leg in enumerate(legs, 1):
        wrong = sum(
            leg.counters.get(kind, {}).get(verdict, 0)
            for kind in ("profile_answers", "aggregate_answers")
            for verdict in ("wrong", "empty")
        )
        if wrong:
            found.append(f"leg {number}: {wrong} wrong answers")
        if leg.lost:
            found.append(f"leg {number}: {leg.lost} acknowledged tags are not in the log")
        if leg.differences:
            found.append(f"leg {number}: {leg.differences} differences: {leg.verified}")
    return found


def judge(samples: Sequence[SoakSample], legs: Sequence[Leg]) -> Mapping[str, str]:
    """Rule → what broke it; empty if kept."""
    found = {
        "it is long enough to be judged": too_short(samples),
        "memory grows by at most 1 % an hour": memory(samples),
        "descriptors are flat": flat(samples, "descriptors", lambda one: one.descriptors),
        "threads are flat": flat(samples, "threads", lambda one: one.threads),
        "tags' p99 stays": latency(samples),
        "tables, partitions and names are bounded": tables(samples),
        "nothing is wrong, nothing acknowledged is lost": answers(legs),
    }
    return {rule: "; ".join(broken) for rule, broken in found.items()}
