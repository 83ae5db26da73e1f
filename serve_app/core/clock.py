"""Time as a value that is passed in, so that tests can hold it still."""

import asyncio
import time
from typing import Protocol

from typing_extensions import override


class Clock(Protocol):
    """What the platform needs to know of time."""

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds; may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Yield to other tasks for ``seconds``."""


class SystemClock(Clock):
    """The real clock."""

    @override
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    @override
    def monotonic(self) -> float:
        return time.monotonic()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
