"""The log as the HTTP side writes to it."""

import asyncio
from collections.abc import Callable, Sequence

from serve_app.core.errors import Unavailable
from serve_app.stores.tag_log import Stored


class FakeTagLog:
    """Fails or waits on demand. ``parts``: how values are split over partitions."""

    def __init__(self, on_append: Callable[[Sequence[bytes]], None]) -> None:
        """``on_append`` is called with the values of each successful append."""
        self._on_append = on_append
        self.ready = True
        self.last_error = ""
        self.error: Exception | None = None
        self.request_ids: list[list[bytes]] = []
        self.parts = [1_000]
        """Maximum of values per partition; the last entry holds for all further ones."""
        self.open = asyncio.Event()
        self.open.set()

    def unreachable(self) -> Unavailable:
        return Unavailable(self.last_error)

    async def append(
        self, values: Sequence[bytes], request_ids: Sequence[bytes] = ()
    ) -> list[tuple[int, Stored]]:
        self.request_ids.append(list(request_ids))
        if self.error is not None:
            raise self.error
        await self.open.wait()
        self._on_append(values)
        places: list[tuple[int, Stored]] = []
        left = len(values)
        while left:
            count = min(left, self.parts[min(len(places), len(self.parts) - 1)])
            at = len(places)
            places.append((count, Stored(at, 100 * (at + 1), 7_000 + at)))
            left -= count
        return places
