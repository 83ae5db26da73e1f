"""An event loop whose time passes only as far as somebody waits: no socket, no thread, no chance."""

import asyncio
import gc
from asyncio import base_events
from collections.abc import Coroutine
from typing import Any

START_S = 1_000.0


class _Timer:
    """In the place of a selector: waiting is what makes time pass."""

    def __init__(self) -> None:
        self.now_s = START_S

    def select(self, timeout_s: float | None) -> list[Any]:
        if timeout_s is None:
            raise RuntimeError("everybody waits for somebody else")
        self.now_s += timeout_s
        return []


class SimulatedLoop(base_events.BaseEventLoop):
    """Runs callbacks in the order in which they were scheduled, at simulated times."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Timer()
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._selector.now_s

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def pass_time(self, seconds: float) -> None:
        """Let everybody run for ``seconds``."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What ``coroutine`` returns, however long it takes."""
        return self.run_until_complete(coroutine)

    def finish(self) -> None:
        """Cancel what still runs and close."""
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.close()
        gc.collect(0)


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
