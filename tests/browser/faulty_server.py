"""A server that corrupts some answers on purpose, and otherwise keeps the contract."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.panel.reference_server import ReferenceModel, ReferenceServer, epoch_ms

WRONG_PRICE = 999_999_999
_PROBLEM = {
    "title": "Rule broken",
    "status": 422,
    "detail": "time_range: <from> must not be after <to>",
    "field": "time_range",
}


class FaultyModel(ReferenceModel):
    """Every `every`-th profile with a view has a wrong price; every 2nd aggregate is off by one.

    `every` 0: all answers are correct. Reports a lag of 0 in the platform's format.
    """

    def __init__(self, every: int = 0, refuse_every: int = 0) -> None:
        """`refuse_every`: every n-th tag is answered 503 and not stored."""
        super().__init__()
        self.every = every
        self.refuse_every = refuse_every
        self._asked = 0
        self._profiles = 0
        self._aggregates = 0

    def answer(self, target: str, body: bytes) -> tuple[int | None, bytes]:
        """The reference server, plus `/case3/status`."""
        parts = urlsplit(target)
        path, query = parts.path, parse_qs(parts.query)
        if path == "/case3/status":
            return 200, json.dumps({"partitions": [self._partition()]}).encode()
        if "time_range" in query:
            start, end = map(epoch_ms, query["time_range"][0].split("_"))
            if start > end:
                return 422, json.dumps(_PROBLEM).encode()
        if path == "/user_tags" and self.refuse_every:
            self._asked += 1
            if self._asked % self.refuse_every == 0:
                return 503, b"{}"
        return super().answer(target, body)

    def profile(self, cookie: str, start: int, end: int, limit: int) -> Any:
        """Use case 2, with wrong prices at times."""
        answer = super().profile(cookie, start, end, limit)
        if answer["views"] and self.every:
            self._profiles += 1
            if self._profiles % self.every == 0:
                tag = answer["views"][0]
                info = {**tag["product_info"], "price": WRONG_PRICE}
                answer["views"][0] = {**tag, "product_info": info}
        return answer

    def aggregate(self, query: dict[str, list[str]]) -> Any:
        """Use case 3, with a wrong last figure at times."""
        answer = super().aggregate(query)
        self._aggregates += 1
        if self.every and self._aggregates % 2 == 0 and answer["rows"]:
            answer["rows"][-1][-1] = str(int(answer["rows"][-1][-1]) + 1)
        return answer

    def _partition(self) -> dict[str, Any]:
        newest = self.tags[-1][1]["time"] if self.tags else None
        oldest = self.tags[0][0] if self.tags else 0
        return {
            "partition": 0,
            "state": "running",
            "offset": len(self.tags),
            "log_end": len(self.tags),
            "lag": 0,
            "watermark": newest,
            "watermark_ms": epoch_ms(newest) if newest else oldest,
            "last_flush": None,
            "last_flush_ms": 0.0,
            "last_flush_rows": 0,
            "error": None,
        }


@contextmanager
def serving(model: ReferenceModel) -> Iterator[int]:
    """Serves the model in a thread; yields the port."""
    ready, port = threading.Event(), 0
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        nonlocal port
        async with ReferenceServer(model) as port:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
