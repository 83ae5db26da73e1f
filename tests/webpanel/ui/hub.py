"""Sends events to all connected pages."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

_BEHIND = 200
_IDLE_S = 1.0

Event = tuple[str, str]
"""Name, and data as JSON."""


def event(name: str, data: Any) -> Event:
    """Encode an event, once for all pages."""
    return name, json.dumps(data, separators=(",", ":"))


class Hub:
    """Publishes events. A page that falls behind gets the complete state again."""

    def __init__(self, whole: Callable[[], Event]) -> None:
        """`whole` returns the complete state as an event, which each page gets first."""
        self._whole = whole
        self._queues: set[asyncio.Queue[Event]] = set()
        self._closed = False

    @property
    def listeners(self) -> int:
        """Pages that listen."""
        return len(self._queues)

    def publish(self, name: str, data: Any) -> None:
        """Hand an event to every listener."""
        if not self._queues:
            return
        one = event(name, data)
        for queue in self._queues:
            if queue.qsize() >= _BEHIND:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(self._whole())
            queue.put_nowait(one)

    def publish_whole(self) -> None:
        """Send the complete state to every listener again."""
        for queue in self._queues:
            queue.put_nowait(self._whole())

    async def listen(self) -> AsyncIterator[Event]:
        """The complete state, then each event; ends when the hub is closed."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield self._whole()
            while not self._closed:
                try:
                    async with asyncio.timeout(_IDLE_S):
                        one = await queue.get()
                except TimeoutError:
                    continue
                yield one
        finally:
            self._queues.discard(queue)

    def close(self) -> None:
        """End all streams within a second, so that the server can stop."""
        self._closed = True
