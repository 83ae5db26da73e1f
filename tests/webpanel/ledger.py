"""Results so far: counters, latencies, wrong answers, the timeline."""

from collections import deque
from typing import Any

from tests.webpanel.counters import Counters, Requests, Verdicts
from tests.webpanel.histogram import LatencyHistogram
from tests.webpanel.profile_judge import Judgement, Verdict
from tests.webpanel.timeline import Interval, Timeline

TAG, PROFILE, AGGREGATE = 0, 1, 2
KINDS = ("user_tags", "user_profiles", "aggregates")

_WRONG_KEPT = 50
_WRONG_LATEST = 4
_RECENT_S = 5

Latencies = tuple[LatencyHistogram, LatencyHistogram, LatencyHistogram]


def _latencies() -> Latencies:
    return LatencyHistogram(), LatencyHistogram(), LatencyHistogram()


class Ledger:
    """Bookkeeping of one subscription, in bounded memory."""

    def __init__(self, total_tags: int) -> None:
        self.counters = Counters(total_tags=total_tags)
        self.requests: tuple[Requests, Requests, Requests] = self.counters.kinds
        self.latencies = _latencies()
        self.second = _latencies()  # of the current second
        self.generator_lag = LatencyHistogram()
        self.timeline = Timeline()
        self.wrong_answers: list[dict[str, Any]] = []  # the first ones
        self.latest_wrong: deque[dict[str, Any]] = deque(maxlen=_WRONG_LATEST)
        self.seconds_closed = 0
        self._recent: deque[Latencies] = deque(maxlen=_RECENT_S)
        self._before = (0, 0)

    def judged(
        self, kind: int, judgement: Judgement, path: str, expected: bytes, body: bytes
    ) -> None:
        """Count a verdict; of wrong answers, keep the first and the latest ones in full."""
        counters = self.counters
        answers: Verdicts = (
            counters.profile_answers if kind == PROFILE else counters.aggregate_answers
        )
        answers.add(judgement.verdict)
        if judgement.verdict not in (Verdict.WRONG, Verdict.EMPTY):
            return
        wrong = {
            "number": counters.wrong,
            "at_s": round(counters.elapsed_s, 1),
            "request": f"POST {path}",
            "verdict": judgement.verdict.value,
            "difference": judgement.difference,
            "expected": expected.decode(),
            "actual": body.decode(errors="replace"),
        }
        self.latest_wrong.append(wrong)
        if len(self.wrong_answers) < _WRONG_KEPT:
            self.wrong_answers.append(wrong)

    def close_second(self) -> Interval:
        """Close the current second: add its latencies to the totals and the timeline."""
        for total, part in zip(self.latencies, self.second, strict=True):
            total.merge(part)
        sent, dropped = self.counters.tags.sent, self.counters.dropped
        interval = self.timeline.add(
            sent - self._before[0], dropped - self._before[1], self.second[TAG]
        )
        self._before = (sent, dropped)
        self._recent.append(self.second)
        self.seconds_closed += 1
        self.second = _latencies()
        return interval

    def recent(self, seconds: int = _RECENT_S) -> Latencies:
        """Latencies of the last complete seconds, at most 5."""
        merged = _latencies()
        for second in list(self._recent)[-seconds:]:
            for total, part in zip(merged, second, strict=True):
                total.merge(part)
        return merged
