"""The rules that a soak is judged by. Pure functions from samples to text.

Growth is the Theil-Sen slope, the median of the slopes between all pairs of points: robust against
a burst, a restart or a garbage collection, but not against steady growth.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median, quantiles
from typing import Final

from setup.local.stacks import stack_named
from tests.soak.plan import FLOOD
from tests.soak.results import Event, Leg, Process, Soak, SoakSample, part_of

Point = tuple[float, float]
"""(seconds, value)."""

MOST_GROWTH_AN_HOUR: Final = 0.01
"""Share of a process's memory, once it is an hour old."""
MOST_GROWTH_OF_THE_YOUNG: Final = 0.03
"""The same of a soak too short for that: an interpreter's heap still settles, ever more slowly."""
MOST_DRIFT: Final = 2.0
"""Descriptors or threads that a process may gain over a whole soak."""
MOST_P99_GROWTH: Final = 1.3
MOST_TABLE_GROWTH: Final = 0.10
"""Share, between two hours that both hold a full day of event time."""
MOST_FLOOD_LEFT: Final = 0.10
MOST_BYTES_A_TAG_GROWTH: Final = 1.1
MOST_DISK_GROWTH: Final = 1.1
DISK_MARGIN_BYTES: Final = 64 * 2**20
MOST_DROPPED: Final = 0.001
"""Share of the tags of minutes without a fault."""
LEAST_ASKED: Final = 0.5
"""Share of the aggregate queries of the whole stream that must have been answered right."""
MOST_LAG: Final = 2_000
WARM_UP_S: Final = 3_600.0
LEAST_POINTS: Final = 20
"""Samples of a process; a shorter life is not judged."""
DAY_MS: Final = 86_400_000
KEPT_MS: Final = 29 * 3_600_000
"""Event time after which as much is dropped as is added."""
_MOST_PAIRS_OF: Final = 300
_TAGS_PER_AGGREGATE: Final = 1_000
_AFTER_FAULT_S: Final = 180.0
_MIB: Final = 2**20

BY_TAGS: Final = ("redis-",)
"""Parts whose memory is all that was ever sent: profiles are kept for 90 days without a tag."""
_LOG: Final = "data/kafka"
_BY_TAGS_ON_DISK: Final = (_LOG, "data/redis")
"""Folders whose size is that, too: the log is kept for 7 days of the clock, and Redis' own log is
rewritten whenever it has doubled."""


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
    each of code, threads and buffers; Galera maps its cache of 128 MiB into memory, too.
    """
    sizes = stack_named(stack)
    if part.startswith("kafka"):
        return (sizes.kafka_heap_mb + 250) * _MIB
    if part.startswith("mariadb-") and not part.startswith("mariadb-watch"):
        return (sizes.mariadb_buffer_pool_mb + 250 + 128 * (sizes.mariadb_nodes > 1)) * _MIB
    return 0.0


def memory(samples: Sequence[SoakSample], stack: str) -> list[Growth]:
    """Growth of all processes that are judged by it, the fastest first."""
    found = [
        Growth(
            name,
            median(value for _, value in points),
            points[-1][1],
            growth_an_hour(points),
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
    """Processes that grow."""
    most = most_growth(samples)
    return [
        f"{one.name} grows by {one.an_hour:.1%} an hour of {one.median_bytes / _MIB:.0f} MiB"
        for one in memory(samples, stack)
        if one.an_hour > most and not one.filling
    ]


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
    """Processes whose descriptors or threads grow."""
    found = []
    for name, points in series(samples, figure).items():
        rise = slope(points) * (points[-1][0] - points[0][0])
        if rise > MOST_DRIFT:
            found.append(f"{name} gains {rise:.0f} {what} over {points[0][1]:.0f}")
    return found


def two_hours(
    samples: Sequence[SoakSample], values: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Of ``values``, one a sample, those of the second hour and of the last; or of thirds."""
    hour_s = min(WARM_UP_S, samples[-1].at_s / 3) if samples else 0.0
    pairs = list(zip(samples, values, strict=True))
    return (
        [value for one, value in pairs if hour_s < one.at_s <= 2 * hour_s],
        [value for one, value in pairs if one.at_s > samples[-1].at_s - hour_s],
    )


def latencies(samples: Sequence[SoakSample]) -> dict[str, tuple[float, float]]:
    """Of the minutes of the second hour and of the last: their p99 in the middle, and high ones.

    Empty if there are not enough.
    """
    second, last = two_hours(samples, [one.p99_ms for one in samples])
    if min(len(second), len(last)) < 2:
        return {}
    return {
        "median of the minutes": (median(second), median(last)),
        "third quartile": (quantiles(second)[2], quantiles(last)[2]),
    }


def latency(samples: Sequence[SoakSample]) -> list[str]:
    """Describes a rise of p99 from the second hour to the last, or between thirds."""
    return [
        f"tags' p99 ({what}) rose from {second:.1f} ms to {last:.1f} ms"
        for what, (second, last) in latencies(samples).items()
        if last > MOST_P99_GROWTH * second
    ]


def kept_day(samples: Iterable[SoakSample]) -> list[SoakSample]:
    """Samples from when on hours are dropped as fast as they are added.

    In each leg anew: between two of them some hours pass in which nothing was sent.
    """
    began_ms: dict[int, int] = {}
    return [
        sample
        for sample in samples
        if sample.event_ms >= began_ms.setdefault(sample.leg, sample.event_ms) + KEPT_MS
    ]


def tables(samples: Sequence[SoakSample]) -> list[str]:
    """Rows, table partitions and names that grow although only a day is kept."""
    kept = kept_day(samples)
    found = []
    for what, figures in (
        ("rows", [sample.rows for sample in kept]),
        ("table partitions", [sample.table_partitions for sample in kept]),
        ("names", [sample.names for sample in kept]),
    ):
        values: dict[str, list[float]] = {}
        for figure in figures:
            for name, value in figure.items():
                values.setdefault(name, []).append(value)
        for name, each in values.items():
            if len(each) < LEAST_POINTS:
                continue
            quarter = len(each) // 4
            # Low ones: an hour without a tag, after an outage, keeps a second day for some hours.
            first, last = (quantiles(part)[0] for part in (each[:quarter], each[-quarter:]))
            # Of a few names or partitions one more is a large share.
            if last > first * (1 + MOST_TABLE_GROWTH) + 2:
                found.append(f"{what} of {name} rose from {first:,.0f} to {last:,.0f}")
    return found


def flood_gone(samples: Sequence[SoakSample], events: Sequence[Event]) -> list[str]:
    """Whether the flood of names was seen, and a day later is as if it had not been."""
    floods = [event.at_s for event in events if event.what == FLOOD]
    if not floods:
        return ["there was no flood of names"]
    before = [one.names.get("origin", 0) for one in samples if 0 < one.at_s < floods[0]]
    flooded = [one for one in samples if one.at_s >= floods[0]]
    if not before or not flooded:
        return ["no samples before or after the flood of names"]
    usual, most = max(before), max(one.names.get("origin", 0) for one in flooded)
    if most < 2 * usual:
        return [f"the flood left no trace: {most:,} origins, {usual:,} before"]
    later = [one for one in flooded if one.event_ms >= flooded[0].event_ms + KEPT_MS]
    left = [one.names["origin"] for one in later if "origin" in one.names]
    if not left:
        return ["no samples a day of event time after the flood of names"]
    if max(left) > usual * (1 + MOST_FLOOD_LEFT):
        return [f"a day after the flood there were {max(left):,} origins, {usual:,} before it"]
    return []


def tags_so_far(samples: Sequence[SoakSample]) -> list[int]:
    """Of each sample: tags sent in all legs."""
    total = []
    of_legs: dict[int, int] = {}
    for sample in samples:
        of_legs[sample.leg] = sample.sent
        total.append(sum(of_legs.values()))
    return total


def bytes_a_tag(
    samples: Sequence[SoakSample], figure: Callable[[SoakSample], float]
) -> tuple[float, float] | None:
    """Median of the second hour and of the last; None without samples."""
    counts = tags_so_far(samples)
    each = [figure(one) / max(1, count) for one, count in zip(samples, counts, strict=True)]
    second, last = two_hours(samples, each)
    return (median(second), median(last)) if second and last else None


def redis_memory(sample: SoakSample) -> float:
    """Of all nodes."""
    return sum(
        process.rss_bytes for name, process in sample.processes.items() if name.startswith(BY_TAGS)
    )


def log_bytes(sample: SoakSample) -> float:
    """Of Kafka, on disk."""
    return sum(size for name, size in sample.disk_bytes.items() if name.startswith(_LOG))


def growing_with_tags(samples: Sequence[SoakSample]) -> list[str]:
    """What grows with each tag by design, and by more than it did in the second hour."""
    found = []
    for what, figure in (("memory of Redis", redis_memory), ("Kafka's log", log_bytes)):
        hours = bytes_a_tag(samples, figure)
        if hours and hours[1] > MOST_BYTES_A_TAG_GROWTH * hours[0]:
            found.append(f"{what} a tag rose from {hours[0]:,.0f} to {hours[1]:,.0f} bytes")
    return found


def disk(samples: Sequence[SoakSample]) -> list[str]:
    """Folders that grow, without the logs of tags."""
    found = []
    for name in samples[-1].disk_bytes if samples else ():
        if name.startswith(_BY_TAGS_ON_DISK):
            continue
        sizes = [one.disk_bytes.get(name, 0) for one in samples]
        before, after = (median(hour) if hour else 0.0 for hour in two_hours(samples, sizes))
        if after > MOST_DISK_GROWTH * before + DISK_MARGIN_BYTES:
            found.append(f"{name} rose from {before / _MIB:.0f} to {after / _MIB:.0f} MiB")
    return found


def too_short(samples: Sequence[SoakSample]) -> list[str]:
    """Lists data too short for a slope: a rule without data counts as broken."""
    counts = {
        "processes judged by their memory": len(series(samples, lambda one: one.rss_bytes)),
        "samples with a full day of event time": len(kept_day(samples)),
    }
    least = {"processes judged by their memory": 1}
    return [
        f"{count} {what}, at least {least.get(what, LEAST_POINTS)}"
        for what, count in counts.items()
        if count < least.get(what, LEAST_POINTS)
    ]


def answers(samples: Sequence[SoakSample], legs: Sequence[Leg]) -> list[str]:
    """Wrong answers, lost tags, differences between the stores; a leg without an audit."""
    found = []
    for number, leg in enumerate(legs, 1):
        seen = max((one.wrong for one in samples if one.leg == number), default=0)
        wrong = max(
            seen,
            sum(
                leg.counters.get(kind, {}).get(verdict, 0)
                for kind in ("profile_answers", "aggregate_answers")
                for verdict in ("wrong", "empty")
            ),
        )
        if wrong:
            found.append(f"leg {number}: {wrong} wrong answers")
        if leg.lost is None or leg.differences is None:
            found.append(f"leg {number} was not compared with its log")
        if leg.lost:
            found.append(f"leg {number}: {leg.lost} acknowledged tags are not in the log")
        if leg.differences:
            found.append(f"leg {number}: {leg.differences} differences: {leg.verified}")
    return found


def quiet_drops(samples: Sequence[SoakSample], events: Sequence[Event]) -> tuple[int, int]:
    """Dropped and sent in the minutes without a fault, a deploy or a rebuild."""
    dropped = sent = 0
    for before, after in pairwise(samples):
        busy = any(
            event.at_s <= after.at_s
            and before.at_s - _AFTER_FAULT_S < max(event.at_s, event.until_s)
            for event in events
        )
        if before.leg == after.leg and not busy:
            dropped += after.dropped - before.dropped
            sent += after.sent - before.sent
    return dropped, sent


def service(
    samples: Sequence[SoakSample], legs: Sequence[Leg], events: Sequence[Event]
) -> list[str]:
    """Whether requests were answered, views kept up and aggregates were asked for throughout."""
    found = []
    dropped, sent = quiet_drops(samples, events)
    if dropped > MOST_DROPPED * sent:
        found.append(f"{dropped:,} of {sent:,} tags dropped in minutes without a fault")
    lags = [one.lag for one in samples[-3:] if one.lag is not None]
    if samples and (not lags or lags[-1] > MOST_LAG):
        found.append(f"{lags[-1] if lags else 'nobody knows how many'} records behind at the end")
    for number, leg in enumerate(legs, 1):
        right = leg.counters.get("aggregate_answers", {}).get("ok", 0)
        planned = leg.counters.get("tags", {}).get("sent", 0) // _TAGS_PER_AGGREGATE
        if right < LEAST_ASKED * planned:
            found.append(f"leg {number}: {right} of {planned} aggregate queries answered")
    return found


def steps(events: Sequence[Event], planned: Sequence[str]) -> list[str]:
    """Steps that failed, or never began."""
    found = [f"{event.what}: {event.outcome}" for event in events if event.failed]
    left = list(planned)
    for event in events:
        if event.what in left:
            left.remove(event.what)
    return found + [f"{what}: not done" for what in left]


def judge(soak: Soak, planned: Sequence[str]) -> Mapping[str, str]:
    """Rule → what broke it; empty if kept. ``planned``: names of all steps of the plan."""
    samples, legs, events = soak.samples, soak.legs, soak.events
    found = {
        "it is long enough to be judged": too_short(samples),
        f"memory grows by at most {most_growth(samples):.0%} an hour": leaks(
            samples, soak.about["stack"]
        ),
        "descriptors are flat": flat(samples, "descriptors", lambda one: one.descriptors),
        "threads are flat": flat(samples, "threads", lambda one: one.threads),
        "tags' p99 stays": latency(samples),
        "tables, partitions and names are bounded": tables(samples),
        "a flood of names is gone after a day": flood_gone(samples, events),
        "disk is bounded": disk(samples),
        "logs and profiles grow by the tag": growing_with_tags(samples),
        "nothing is wrong, nothing acknowledged is lost": answers(samples, legs),
        "what was asked was answered": service(samples, legs, events),
        "every step was done": steps(events, planned),
    }
    return {rule: "; ".join(broken) for rule, broken in found.items()}
