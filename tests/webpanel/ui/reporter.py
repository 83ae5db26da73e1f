"""Reports to the panel's server: counters, one point per second, wrong answers."""

import time
from collections.abc import Iterator
from typing import Any

from tests.webpanel.counters import Counters
from tests.webpanel.ledger import KINDS
from tests.webpanel.subscription import Subscription

Message = dict[str, Any]

_WRONG_AT_ONCE = 2
"""Wrong answers per report, of up to 200 kB each; the counters include all of them."""
_DROPS = ("status_4xx", "status_5xx", "status_other", "connect", "read_timeout", "other")
_ANSWERS = ("ok", "wrong", "empty")


class Reporter:
    """Turns a subscription's progress since the last call into messages."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._seconds = 0
        self._wrong = 0
        self._totals = totals(subscription.counters)
        self._told_at = time.monotonic()

    def news(self) -> Iterator[Message]:
        """Messages with a `type`: always `counters`; `second` and `wrong` if there is news."""
        ledger = self._subscription.ledger
        counters = self._subscription.counters
        yield {"type": "counters", "counters": counters.as_json()}
        if (closed := ledger.seconds_closed - self._seconds) > 0:
            self._seconds = ledger.seconds_closed
            yield {
                "type": "second",
                "point": self._point(counters, closed),
                "sender": self._sender(counters),
            }
        new = [one for one in ledger.latest_wrong if one["number"] > self._wrong]
        if new:
            self._wrong = new[-1]["number"]
            yield {"type": "wrong", "answers": new[-_WRONG_AT_ONCE:]}

    def _sender(self, counters: Counters) -> dict[str, float]:
        lag = self._subscription.ledger.generator_lag
        cpu_s = self._subscription.cpu_s
        return {
            "lag_p50_ms": round(lag.percentile_ms(50), 2),
            "lag_p99_ms": round(lag.percentile_ms(99), 2),
            "lag_max_ms": round(lag.max_s * 1e3, 2),
            "cpu_s": round(cpu_s, 2),
            "cores": round(cpu_s / max(counters.elapsed_s, 1e-9), 4),
            "connections_opened": self._subscription.connections_opened,
        }

    def _point(self, counters: Counters, closed: int) -> dict[str, float | None]:
        """Rates per second since the last point, and latencies in ms (None: no answers)."""
        now, new = time.monotonic(), totals(counters)
        elapsed = max(now - self._told_at, 1e-3)
        point: dict[str, float | None] = {"at_ms": round(time.time() * 1e3)}
        for name, value in new.items():
            point[name] = round((value - self._totals[name]) / elapsed, 3)
        self._totals, self._told_at = new, now
        for kind, latency in zip(KINDS, self._subscription.ledger.recent(closed), strict=True):
            for percent in (50, 90, 99):
                point[f"{kind}_p{percent}_ms"] = (
                    round(latency.percentile_ms(percent), 2) if latency.count else None
                )
            point[f"{kind}_max_ms"] = round(latency.max_s * 1e3, 2) if latency.count else None
        return point


def totals(counters: Counters) -> dict[str, int]:
    """Counters whose rates the charts show: sent, answered, dropped by kind; verdicts."""
    kinds = counters.kinds
    flat = {f"{name}_sent": one.sent for name, one in zip(KINDS, kinds, strict=True)}
    flat["answered"] = sum(
        one.status_2xx + one.status_4xx + one.status_5xx + one.status_other for one in kinds
    )
    for cause in _DROPS:
        flat[f"dropped_{cause}"] = sum(getattr(one, cause) for one in kinds)
    # Such as a tag answered with 200: in time, but against the contract.
    flat["dropped_status_other"] += counters.dropped - sum(flat[f"dropped_{c}"] for c in _DROPS)
    for name, answers in (
        ("profiles", counters.profile_answers),
        ("aggregates", counters.aggregate_answers),
    ):
        for verdict in _ANSWERS:
            flat[f"{name}_{verdict}"] = getattr(answers, verdict)
    return flat
