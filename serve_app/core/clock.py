"""Time as a value that is passed in, so that tests can hold it still."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the platform needs to know of time."""

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds; may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Let others run for ``seconds``."""


class SystemClock:
    """The real clock."""

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)
