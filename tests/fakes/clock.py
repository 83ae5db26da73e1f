"""A clock that moves only when a test says so."""

import asyncio
from collections.abc import Callable


class FakeClock:
    """Stands still until `advance` or `sleep`; see `serve_app.core.clock.Clock`."""

    def __init__(self, start_s: float = 1_000.0) -> None:
        self.now_s = start_s
        self.on_sleep: Callable[[], None] = lambda: None
        """Called after each sleep: what happens in the world meanwhile."""

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
        """Let time pass, and others run."""
        self.advance(seconds)
        self.on_sleep()
        await asyncio.sleep(0)
