"""Sent, dropped and p99 over time, in bounded memory."""

from dataclasses import dataclass

from tests.webpanel.histogram import LatencyHistogram

_MOST = 3600


@dataclass(slots=True)
class Interval:
    """Tags sent, requests dropped and p99 of tags in one interval."""

    sent: int
    dropped: int
    p99_ms: float


class Timeline:
    """Intervals of one second, merged pairwise into longer ones when there are too many."""

    def __init__(self, most: int = _MOST) -> None:
        """Keep at most `most` intervals."""
        self._most = most
        self.interval_s = 1
        self.intervals: list[Interval] = []
        self._part: list[Interval] = []

    def add(self, sent: int, dropped: int, latencies: LatencyHistogram) -> Interval:
        """Add one second; gives it back."""
        second = Interval(sent, dropped, round(latencies.percentile_ms(99), 3))
        self._part.append(second)
        if len(self._part) >= self.interval_s:
            self.intervals.append(_merged(self._part))
            self._part = []
        if len(self.intervals) > self._most:
            pairs = range(0, len(self.intervals), 2)
            self.intervals = [_merged(self.intervals[at : at + 2]) for at in pairs]
            self.interval_s *= 2
        return second

    def as_json(self) -> dict[str, object]:
        """For the report: rows of (sent, dropped, p99 in ms)."""
        rest = [_merged(self._part)] if self._part else []
        return {
            "interval_s": self.interval_s,
            "columns": ["sent", "dropped", "p99_ms"],
            "rows": [[one.sent, one.dropped, one.p99_ms] for one in [*self.intervals, *rest]],
        }


def _merged(parts: list[Interval]) -> Interval:
    """Merge intervals; the p99 is the highest of theirs."""
    return Interval(
        sum(part.sent for part in parts),
        sum(part.dropped for part in parts),
        max(part.p99_ms for part in parts),
    )
