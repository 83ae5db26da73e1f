"""The quiet minutes of a soak, those without a fault, a deploy or a rebuild.

In them requests are answered: nearly no tag is dropped, and both queries are asked throughout and
answered right.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.soak.results import Asked, Event, SoakSample
from tests.webpanel.eventtime import MINUTE_MS

MOST_DROPPED: Final = 0.001
"""Share of the tags of quiet minutes."""
LEAST_QUIET: Final = 0.1
"""Share of all tags that must have been sent in quiet minutes."""
LEAST_RIGHT: Final = 0.95
"""Share of the queries of quiet minutes that must have been answered right."""
SPAN_S: Final = 300.0
_AFTER_FAULT_S: Final = 180.0
_SLACK_S: Final = 5.0
"""By which a sample may come early or late."""
_FIRST_MINUTES: Final = 2
"""Of a leg's event time, before which no aggregate can be asked for."""


@dataclass(frozen=True)
class Kind:
    """A kind of query, and where samples have its figures."""

    name: str
    tags: int
    """Tags for one query."""
    asked: Callable[[SoakSample], Asked | None]


KINDS: Final = (
    Kind("aggregate", 1_000, lambda one: one.aggregates),
    Kind("profile", 10, lambda one: one.profiles),
)


def quiet_pairs(
    samples: Sequence[SoakSample], events: Sequence[Event]
) -> Iterator[tuple[SoakSample, SoakSample]]:
    """The samples around each quiet minute."""
    for before, after in pairwise(samples):
        busy = any(
            event.at_s <= after.at_s
            and before.at_s - _AFTER_FAULT_S < max(event.at_s, event.until_s)
            for event in events
        )
        if before.leg == after.leg and not busy:
            yield before, after


def quiet_drops(samples: Sequence[SoakSample], events: Sequence[Event]) -> tuple[int, int]:
    """Dropped and sent in quiet minutes."""
    pairs = list(quiet_pairs(samples, events))
    return (
        sum(after.dropped - before.dropped for before, after in pairs),
        sum(after.sent - before.sent for before, after in pairs),
    )


def drops(samples: Sequence[SoakSample], events: Sequence[Event], total: int) -> list[str]:
    """Too many in quiet minutes, or too few of these; ``total``: tags sent in all."""
    dropped, sent = quiet_drops(samples, events)
    if sent < LEAST_QUIET * total:
        return [f"only {sent:,} of {total:,} tags were sent in quiet minutes: too few to judge by"]
    if dropped > MOST_DROPPED * sent:
        return [f"{dropped:,} of {sent:,} tags dropped in minutes without a fault"]
    return []


def quiet_asked(
    samples: Sequence[SoakSample], events: Sequence[Event], kind: Kind
) -> tuple[int, int] | None:
    """Queries asked and answered right in quiet minutes; None if a sample has no such figures."""
    asked = right = 0
    for before, after in quiet_pairs(samples, events):
        old, new = kind.asked(before), kind.asked(after)
        if old is None or new is None:
            return None
        asked += new.asked - old.asked
        right += new.right - old.right
    return asked, right


def _runs(samples: Sequence[SoakSample], events: Sequence[Event]) -> Iterator[list[SoakSample]]:
    """Samples with nothing but quiet minutes between them, once a leg's first minutes are over."""
    begins: dict[int, SoakSample] = {}
    for sample in samples:
        begins.setdefault(sample.leg, sample)
    run: list[SoakSample] = []
    for before, after in quiet_pairs(samples, events):
        begin = begins[before.leg]
        if (
            before.event_ms < begin.event_ms + _FIRST_MINUTES * MINUTE_MS
            or before.at_s == begin.at_s
        ):
            continue
        if run and run[-1] is not before:
            yield run
            run = []
        run = [*run, after] if run else [before, after]
    if run:
        yield run


def _spans(
    samples: Sequence[SoakSample], events: Sequence[Event], kind: Kind
) -> Iterator[tuple[SoakSample, SoakSample]]:
    """The first and last sample of each `SPAN_S` of quiet minutes that are due a few queries."""
    for run in _runs(samples, events):
        for at, first in enumerate(run):
            last = next(
                (one for one in run[at:] if one.at_s - first.at_s >= SPAN_S - _SLACK_S), None
            )
            if last is not None and last.sent - first.sent >= 2 * kind.tags:
                yield first, last


def unasked(
    samples: Sequence[SoakSample], events: Sequence[Event], kind: Kind
) -> list[tuple[float, float]]:
    """Times (s) of quiet minutes in which none was answered right; spans that overlap are one."""
    found: list[tuple[float, float]] = []
    for first, last in _spans(samples, events, kind):
        old, new = kind.asked(first), kind.asked(last)
        if old is None or new is None or new.right > old.right:
            continue
        if found and first.at_s <= found[-1][1]:
            found[-1] = found[-1][0], last.at_s
        else:
            found.append((first.at_s, last.at_s))
    return found


def throughout(samples: Sequence[SoakSample], events: Sequence[Event]) -> list[str]:
    """Whether both queries were asked at all times, and answered right."""
    found = []
    for kind in KINDS:
        quiet = quiet_asked(samples, events, kind)
        if quiet is None:
            found.append(f"{kind.name} queries: not recorded")
            continue
        if not any(_spans(samples, events, kind)):
            found.append(f"{kind.name} queries: no five quiet minutes to judge by")
        found += [
            f"no {kind.name} query answered right from minute {begin / 60:.0f} to {end / 60:.0f}"
            for begin, end in unasked(samples, events, kind)
        ]
        asked, right = quiet
        # One may be under way.
        if right + 1 < LEAST_RIGHT * asked:
            found.append(f"{right:,} of {asked:,} {kind.name} queries of quiet minutes right")
    return found
