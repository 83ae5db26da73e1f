"""A client of the three endpoints, on raw sockets where that matters, and tags to send."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx

from tests.oracle import Oracle, Tag, same_profile

PROBLEM = "application/problem+json"
PROFILE_PROMISE_S = 10.0
"""The contract's. The answer to a tag does not wait for Redis: who asks at once may be earlier."""
EVER = "0001-01-01T00:00:00_9999-12-31T23:59:59.999"


class Minutes:
    """Twelve minutes of event time that belong to one test."""

    def __init__(self, start: datetime) -> None:
        self.start = start

    def time(self, minute: float, millisecond: int | None = None) -> str:
        """A tag's time; without ``millisecond`` it is a whole second without a fraction."""
        text = (self.start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{text}Z" if millisecond is None else f"{text}.{millisecond:03d}Z"

    def range(self, first: int = 0, last: int = 10) -> str:
        """``time_range`` from minute ``first`` to ``last``."""
        return f"{self.time(first)[:-1]}_{self.time(last)[:-1]}"


def new_cookie() -> str:
    """A cookie that is not used elsewhere."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Response:
    """An answer read from a raw socket."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection on which a test writes raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Write and flush."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, *, head: bool = False) -> Response:
        """Read the next answer; one to HEAD has no body."""
        async with asyncio.timeout(20):
            first = await self._reader.readuntil(b"\r\n")
            status = int(first.split()[1])
            headers: dict[str, str] = {}
            while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", "0"))
            body = b""
            if headers.get("transfer-encoding") == "chunked" and not head:
                while size := int(await self._reader.readuntil(b"\r\n"), 16):
                    body += await self._reader.readexactly(size)
                    await self._reader.readexactly(2)
                await self._reader.readexactly(2)
            elif not head:
                body = await self._reader.readexactly(length)
            return Response(status, headers, body)

    async def ended(self) -> bool:
        """Whether the server closes without sending more."""
        async with asyncio.timeout(20):
            return await self._reader.read(1) == b""

    def reset(self) -> None:
        """Close the connection."""
        self._writer.transport.abort()


class Api:
    """A client of the API; records acknowledged tags in an oracle."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.http = httpx.AsyncClient(
            base_url=f"http://{host}:{port}",
            timeout=30,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=100),
        )
        self.oracle = Oracle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.aclose()

    async def post_tag(self, tag: Tag | bytes) -> httpx.Response:
        """Use case 1; returns whatever is answered."""
        content = tag if isinstance(tag, bytes) else json.dumps(tag).encode()
        return await self.http.post("/user_tags", content=content)

    async def accept(self, tags: Iterable[Tag], at_once: int = 40) -> None:
        """Send tags, partly in parallel; all must be accepted, and be in their profiles in time."""
        tags = list(tags)
        room = asyncio.Semaphore(at_once)

        async def send(tag: Tag) -> None:
            async with room:
                answer = await self.post_tag(tag)
            assert (answer.status_code, answer.content) == (204, b""), answer.text
            self.oracle.accept(tag)

        await asyncio.gather(*map(send, tags))
        for cookie in {tag["cookie"] for tag in tags}:
            await self.check_profile(cookie, EVER)

    async def post_profile(
        self,
        cookie: str,
        time_range: str,
        limit: int | None = None,
        body: bytes = b"",
    ) -> httpx.Response:
        """Use case 2."""
        parameters = {"time_range": time_range} | ({} if limit is None else {"limit": str(limit)})
        target = f"/user_profiles/{quote(cookie, safe='')}?{urlencode(parameters)}"
        return await self.http.post(target, content=body)

    async def profile(
        self, cookie: str, time_range: str, limit: int | None = None
    ) -> dict[str, Any]:
        """The answer of use case 2."""
        answer = await self.post_profile(cookie, time_range, limit)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        content: dict[str, Any] = answer.json()
        return content

    async def check_profile(self, cookie: str, time_range: str, limit: int | None = None) -> None:
        """Check the answer against the oracle, for as long as the newest tags may take."""
        expected = self.oracle.profile(cookie, time_range, 200 if limit is None else limit)
        deadline = time.monotonic() + PROFILE_PROMISE_S
        while not same_profile(found := await self.profile(cookie, time_range, limit), expected):
            assert time.monotonic() < deadline, (found, expected)
            await asyncio.sleep(0.02)

    async def post_aggregates(
        self, pairs: Sequence[tuple[str, str]], body: bytes = b""
    ) -> httpx.Response:
        """Use case 3, with any parameters."""
        return await self.http.post(f"/aggregates?{urlencode(pairs)}", content=body)

    async def aggregates(
        self, time_range: str, action: str, aggregates: Sequence[str], **filters: str
    ) -> dict[str, Any]:
        """The answer of use case 3."""
        pairs = [("time_range", time_range), ("action", action), *filters.items()]
        pairs += [("aggregates", name) for name in aggregates]
        answer = await self.post_aggregates(pairs)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        content: dict[str, Any] = answer.json()
        return content

    async def check_aggregates(
        self,
        time_range: str,
        action: str = "VIEW",
        aggregates: Sequence[str] = ("COUNT", "SUM_PRICE"),
        **filters: str,
    ) -> None:
        """Check the answer against the oracle."""
        expected = self.oracle.aggregates(time_range, action, aggregates, **filters)
        assert await self.aggregates(time_range, action, aggregates, **filters) == expected

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """Open a raw connection."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()


def check_problem(answer: httpx.Response | Response, status: int, field: str = "") -> None:
    """Check for a problem document (RFC 9457) with this status that names ``field``."""
    found = answer.status_code if isinstance(answer, httpx.Response) else answer.status
    body = answer.content if isinstance(answer, httpx.Response) else answer.body
    assert found == status, body
    assert answer.headers["content-type"] == PROBLEM
    document = json.loads(body)
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    assert document.get("field", "") == field
