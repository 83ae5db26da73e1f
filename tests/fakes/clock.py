"""A clock that moves only when a test says so."""

import asyncio
from collections.abc import Callable


class FakeClock:
    """A `serve_app.core.clock.Clock` that stands still until `advance` or `sleep`."""

    def __init__(self, start_s: float = 1_000.0) -> None:
        self.now_s = start_s
        self.on_sleep: Callable[[], None] = lambda: None
        """Called after each sleep, to simulate events meanwhile."""

    def now_ms(self) -> int:
        """Wall clock, epoch milliseconds."""
        return round(self.now_s * 1000)

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    async def sleep(self, seconds: float) -> None:
        """Advance the time, and let other tasks run."""
        self.advance(seconds)
        self.on_sleep()
        await asyncio.sleep(0)
