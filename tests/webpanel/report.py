"""The JSON report of a subscription, and its summary as text."""

from dataclasses import asdict
from typing import Any

from tests.webpanel.eventtime import tag_time
from tests.webpanel.ledger import KINDS
from tests.webpanel.subscription import Subscription


def report(subscription: Subscription) -> dict[str, Any]:
    """The report of a run. Units stand at the end of each key."""
    options, ledger = subscription.options, subscription.ledger
    counters = subscription.counters
    elapsed = max(counters.elapsed_s, 1e-9)
    parameters = {**asdict(options), "start": tag_time(options.start_ms)}
    # Reports get shared.
    del parameters["token"]
    return {
        "parameters": parameters,
        "event_time_end": tag_time(options.event_ms(counters.tags.sent)),
        "flawless": counters.flawless,
        "counters": counters.as_json(),
        "latency_ms": {
            kind: histogram.summary_ms()
            for kind, histogram in zip(KINDS, ledger.latencies, strict=True)
        },
        "generator_lag_ms": ledger.generator_lag.summary_ms(),
        "panel": {
            "cpu_s": round(subscription.cpu_s, 3),
            "cores": round(subscription.cpu_s / elapsed, 4),
            "connections_opened": subscription.connections_opened,
        },
        "timeline": ledger.timeline.as_json(),
        "wrong_answers": ledger.wrong_answers,
    }


def summary(subscription: Subscription) -> str:
    """Counters, latencies and score in a few lines."""
    counters, ledger = subscription.counters, subscription.ledger
    lines = [
        f"{counters.state}: {counters.tags.sent:,} of {counters.total_tags:,} tags sent, "
        f"progress {counters.progress_percent:.1f}%, {counters.elapsed_s:.1f} s"
    ]
    for kind, one, latency in zip(KINDS, counters.kinds, ledger.latencies, strict=True):
        figures = latency.summary_ms()
        lines.append(
            f"{kind:>13}: sent {one.sent:,}  2xx {one.status_2xx:,}  4xx {one.status_4xx:,}  "
            f"5xx {one.status_5xx:,}  other {one.status_other:,}  exceptions: connect "
            f"{one.connect:,}  read timeout {one.read_timeout:,}  other {one.other:,}"
        )
        lines.append(
            f"{'':>13}  dropped {one.dropped:,}  latency ms: p50 {figures['p50']:g}  "
            f"p90 {figures['p90']:g}  p99 {figures['p99']:g}  p99.9 {figures['p99.9']:g}  "
            f"max {figures['max']:g}"
        )
    for name, answers in (
        ("profiles", counters.profile_answers),
        ("aggregates", counters.aggregate_answers),
    ):
        lines.append(
            f"{name:>13}: ok {answers.ok:,}  wrong {answers.wrong:,}  empty {answers.empty:,}  "
            f"unanswered {answers.unanswered:,}  not judged {answers.not_judged:,}"
        )
    lag = ledger.generator_lag.summary_ms()
    share = subscription.cpu_s / max(counters.elapsed_s, 1e-9)
    lines.append(
        f"{'panel':>13}: {share:.3f} of a core, generator lag p99 {lag['p99']:g} ms, "
        f"max {lag['max']:g} ms"
    )
    lines.append(f"{'score':>13}: {counters.score:,.1f} of 20,000")
    return "\n".join(lines)
