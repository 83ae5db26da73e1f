"""Fakes of the parts behind the HTTP side, and an ASGI client that records every message."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import Message

from serve_app.core.answer import AggregateAnswer, ProfileAnswer, fill_rows
from serve_app.core.deadline import Deadline
from serve_app.core.query import AggregateQuery, ProfileQuery
from serve_app.core.tag import UserTag
from serve_app.http.endpoints import Endpoints
from serve_app.http.routes import build_routes
from tests.fakes.recorder import MemoryRecorder

EXAMPLE: dict[str, Any] = {
    "time": "2022-03-01T00:00:00.649Z",
    "cookie": "9WkYGxkiXBfpMIjBGURC",
    "country": "CL",
    "device": "MOBILE",
    "action": "VIEW",
    "origin": "CAMPAIGN_321",
    "product_info": {
        "product_id": 12486,
        "brand_id": "Ebros_Gift",
        "category_id": "Trousers",
        "price": 28969,
    },
}
EXAMPLE_MS = 1_646_092_800_649
BODY = json.dumps(EXAMPLE).encode()


class FakeIngest:
    """Records accepted tags, or raises ``error``."""

    def __init__(self) -> None:
        self.accepted: list[tuple[UserTag, bytes]] = []
        self.times_ms: list[int] = []
        self.request_ids: list[bytes] = []
        self.error: Exception | None = None

    async def accept(
        self, tag: UserTag, time_ms: int, body: bytes, request_id: bytes = b""
    ) -> None:
        if self.error is not None:
            raise self.error
        self.accepted.append((tag, body))
        self.times_ms.append(time_ms)
        self.request_ids.append(request_id)


class FakeFreshProfiles:
    """Answers with ``tags``; records the queries and their deadlines."""

    def __init__(self) -> None:
        self.queries: list[ProfileQuery] = []
        self.left_s: list[float] = []
        self.error: Exception | None = None
        self.tags: list[UserTag] = []

    async def answer(self, query: ProfileQuery, deadline: Deadline) -> ProfileAnswer:
        self.queries.append(query)
        self.left_s.append(deadline.left_s())
        if self.error is not None:
            raise self.error
        return ProfileAnswer(query.cookie, self.tags, [])


class FakeFreshAggregates:
    """Answers zeros; records the queries and their deadlines."""

    def __init__(self) -> None:
        self.queries: list[AggregateQuery] = []
        self.left_s: list[float] = []
        self.error: Exception | None = None

    async def answer(self, query: AggregateQuery, deadline: Deadline) -> AggregateAnswer:
        self.queries.append(query)
        self.left_s.append(deadline.left_s())
        if self.error is not None:
            raise self.error
        return fill_rows(query, {})


@dataclass
class Answer:
    """The application's answer, and how much of the request it left unread."""

    status: int
    headers: dict[str, str]
    body: bytes
    unread: int
    """Number of unread messages of the request."""
    starts: list[Message] = field(default_factory=list)

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Client:
    """One ASGI application with fakes behind it."""

    def __init__(self) -> None:
        self.recorder = MemoryRecorder()
        self.ingest = FakeIngest()
        self.profiles = FakeFreshProfiles()
        self.aggregates = FakeFreshAggregates()
        self.health: dict[str, Any] = {"status": "ok", "stores": {}}
        self.app = Endpoints(
            self.ingest,  # type: ignore[arg-type]
            self.profiles,  # type: ignore[arg-type]
            self.aggregates,  # type: ignore[arg-type]
            profile_timeout_s=1.0,
            aggregate_timeout_s=55.0,
            fallback=build_routes(self._health),
            recorder=self.recorder,
        )

    async def _health(self) -> dict[str, Any]:
        return self.health

    async def request(
        self,
        method: str,
        target: bytes | str,
        parts: Iterable[bytes] = (b"",),
        *,
        gone_after: int | None = None,
        stalls: bool = False,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> Answer:
        """Send ``parts`` as the messages of one body.

        ``gone_after``: the client disconnects after this many messages. ``stalls``: after them it
        stays connected and sends no more. Status 0: no answer.
        """
        raw = target.encode() if isinstance(target, str) else target
        raw_path, _, query = raw.partition(b"?")
        bodies = list(parts)
        messages: list[Message] = [
            {"type": "http.request", "body": part, "more_body": stalls or at < len(bodies) - 1}
            for at, part in enumerate(bodies)
        ]
        if gone_after is not None:
            messages = messages[:gone_after]
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0)
            if stalls and not messages:
                await asyncio.Event().wait()
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(dict(message))
            self.on_send(message)

        await self.app(
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "scheme": "http",
                "method": method,
                "path": _unquoted(raw_path),
                "raw_path": raw_path,
                "query_string": query,
                "root_path": "",
                "headers": list(headers),
                "server": ("127.0.0.1", 80),
                "client": ("127.0.0.1", 1),
            },
            receive,
            send,
        )
        starts = [message for message in sent if message["type"] == "http.response.start"]
        body = b"".join(message.get("body", b"") for message in sent)
        start: Message = starts[0] if starts else {"status": 0, "headers": []}
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], found, body, len(messages), starts)

    def on_send(self, message: Message) -> None:
        """Hook for tests to intercept the application's messages."""


def _unquoted(raw_path: bytes) -> str:
    return unquote(raw_path.decode("latin-1"))
