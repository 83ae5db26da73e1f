"""The live line: rewritten in place on a terminal, plain lines elsewhere."""

import asyncio
import shutil
import sys

from tests.webpanel.ledger import PROFILE, TAG
from tests.webpanel.subscription import Subscription

_TERMINAL_S = 0.5
_PLAIN_S = 10.0


def live_line(subscription: Subscription) -> str:
    """Progress, counters and the latencies of the last seconds."""
    ledger = subscription.ledger
    counters = ledger.counters
    recent = ledger.recent()
    profiles, aggregates = counters.profile_answers, counters.aggregate_answers
    return (
        f"{counters.progress_percent:5.1f}% {counters.state} {counters.elapsed_s:.0f} s"
        f" | tags {counters.tags.sent:,} dropped {counters.dropped:,}"
        f" p50 {recent[TAG].percentile_ms(50):.1f} p99 {recent[TAG].percentile_ms(99):.1f} ms"
        f" | profiles ok {profiles.ok:,} wrong {profiles.wrong + profiles.empty:,}"
        f" p99 {recent[PROFILE].percentile_ms(99):.1f} ms"
        f" | aggregates ok {aggregates.ok:,} wrong {aggregates.wrong:,}"
        f" | score {counters.score:,.0f}"
    )


async def show(subscription: Subscription) -> None:
    """Show the live line until cancelled."""
    terminal = sys.stdout.isatty()
    try:
        while True:
            await asyncio.sleep(_TERMINAL_S if terminal else _PLAIN_S)
            line = live_line(subscription)
            if terminal:
                width = shutil.get_terminal_size().columns - 1
                print(f"\r{line[:width]:<{width}}", end="", flush=True)
            else:
                print(line, flush=True)
    finally:
        if terminal:
            print()
