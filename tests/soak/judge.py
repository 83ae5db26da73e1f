"""The rules that a soak is judged by. Pure functions from samples to text.

Those of processes are in `growth`, those of quiet minutes in `quiet`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median, quantiles
from typing import Final

from tests.soak.growth import (
    BY_TAGS,
    LEAST_POINTS,
    WARM_UP_S,
    flat,
    leaks,
    left_behind,
    most_growth,
    series,
)
from tests.soak.plan import FLOOD, KEPT_MS, MAX_NAMES
from tests.soak.quiet import drops, throughout
from tests.soak.results import Event, Leg, Soak, SoakSample

MOST_P99_GROWTH: Final = 1.3
MOST_TABLE_GROWTH: Final = 0.10
"""Share, between two hours that both hold a full day of event time."""
MOST_FLOOD_LEFT: Final = 0.10
MOST_BYTES_A_TAG_GROWTH: Final = 1.1
MOST_DISK_GROWTH: Final = 1.1
DISK_MARGIN_BYTES: Final = 64 * 2**20
LEAST_ASKED: Final = 0.5
"""Share of the aggregate queries of the whole stream that must have been answered right."""
MOST_LAG: Final = 2_000
_TAGS_PER_AGGREGATE: Final = 1_000
_MIB: Final = 2**20
_LOG: Final = "data/kafka"
_BY_TAGS_ON_DISK: Final = (_LOG, "data/redis")
"""Folders whose size is that, too: the log is kept for 7 days of the clock, and Redis' own log is
rewritten whenever it has doubled."""


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

    Empty if there are not enough. A minute without an answer has no p99, and says 0.
    """
    hours = two_hours(samples, [one.p99_ms for one in samples])
    second, last = ([p99_ms for p99_ms in hour if p99_ms > 0] for hour in hours)
    if min(len(second), len(last)) < 2:
        return {}
    return {
        "median of the minutes": (median(second), median(last)),
        "third quartile": (quantiles(second)[2], quantiles(last)[2]),
    }


def latency(samples: Sequence[SoakSample]) -> list[str]:
    """Describes a rise of p99 from the second hour to the last, or between thirds."""
    found = latencies(samples)
    if not found:
        return ["too few minutes with an answer"]
    return [
        f"tags' p99 ({what}) rose from {second:.1f} ms to {last:.1f} ms"
        for what, (second, last) in found.items()
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


def rows_known(samples: Sequence[SoakSample], events: Iterable[Event]) -> list[SoakSample]:
    """Samples without those of a rebuild of the aggregates and the day of event time after it.

    The server's number of rows is an estimate, which lacks those that a split of a table partition
    copied: a rebuild's tables are split while they are filled.
    """
    known = list(samples)
    for event in events:
        if event.what == "rebuild aggregates":
            over = [one.event_ms for one in samples if one.at_s >= event.until_s]
            whole_ms = over[0] + KEPT_MS if over else samples[-1].event_ms + 1
            known = [one for one in known if one.at_s < event.at_s or one.event_ms >= whole_ms]
    return known


def tables(samples: Sequence[SoakSample], events: Sequence[Event]) -> list[str]:
    """Rows, table partitions and names that grow although only a day is kept."""
    kept = kept_day(samples)
    found = []
    for what, figures in (
        ("rows", [sample.rows for sample in rows_known(kept, events)]),
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
    if most < MAX_NAMES:
        return [f"the flood did not fill the dictionary: {most:,} of {MAX_NAMES:,} origins"]
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


def service(
    samples: Sequence[SoakSample], legs: Sequence[Leg], events: Sequence[Event]
) -> list[str]:
    """Whether requests were answered, views kept up and aggregates were asked for throughout."""
    found = drops(samples, events, tags_so_far(samples)[-1] if samples else 0)
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
        "restarts leave nothing behind": left_behind(samples, soak.about["stack"]),
        "tags' p99 stays": latency(samples),
        "tables, partitions and names are bounded": tables(samples, events),
        "a flood of names is gone after a day": flood_gone(samples, events),
        "disk is bounded": disk(samples),
        "logs and profiles grow by the tag": growing_with_tags(samples),
        "nothing is wrong, nothing acknowledged is lost": answers(samples, legs),
        "what was asked was answered": service(samples, legs, events),
        "queries were asked throughout": throughout(samples, events),
        "every step was done": steps(events, planned),
    }
    return {rule: "; ".join(broken) for rule, broken in found.items()}
