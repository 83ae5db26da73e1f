"""An event loop on simulated time, which jumps to the next timer; no sockets, no threads."""

import asyncio
import contextvars
import heapq
from asyncio import base_events, events
from collections.abc import Callable, Coroutine
from typing import Any

START_S = 1_000.0


class SimulatedLoop(base_events.BaseEventLoop):
    """Runs callbacks in the order in which they were scheduled, at simulated times."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = START_S
        self._timers: list[tuple[float, int, events.TimerHandle]] = []
        self._count = 0

    def time(self) -> float:
        return self._now_s

    def call_at(  # type: ignore[override]  # without typeshed's variadic generics
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> events.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        timers = self._timers
        while not ready:
            if not timers:
                raise RuntimeError("deadlock: nothing is ready and no timer is set")
            when_s, _, timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._now_s = max(self._now_s, when_s)
                timer._run()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _write_to_self(self) -> None:
        pass

    def pass_time(self, seconds: float) -> None:
        """Run all tasks for ``seconds``."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run until ``coroutine`` returns, and return its result."""
        return self.run_until_complete(coroutine)

    def finish(self) -> None:
        """Cancel all tasks and close."""
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.close()


class SimulatedClock:
    """The loop's time as a ``Clock``."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
