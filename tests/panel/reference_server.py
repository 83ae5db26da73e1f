"""A minimal implementation of the wire contract, with faults on demand."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Tag = dict[str, Any]


class Fault(Enum):
    """Faults and unusual but correct behaviour of the server."""

    NONE = auto()
    LOSES_TAGS = auto()
    COUNTS_TWICE = auto()
    RANGE_END_INCLUSIVE = auto()
    RANGE_START_EXCLUSIVE = auto()
    LIMIT_KEEPS_OLDEST = auto()
    OLDEST_FIRST = auto()
    TIME_NORMALISED = auto()
    PRODUCT_ID_AS_TEXT = auto()
    MINUTE_SHIFTED = auto()
    EMPTY_MINUTES_MISSING = auto()
    FIXED_COLUMN_ORDER = auto()
    # Allowed by the contract:
    REFUSES_AND_STORES = auto()
    REFUSES = auto()
    SILENT_AND_STORES = auto()
    SILENT = auto()
    CHUNKED = auto()
    CLOSES = auto()


def epoch_ms(text: str) -> int:
    """Epoch milliseconds of a time with or without `Z`."""
    moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@dataclass
class ReferenceModel:
    """Stores tags and answers queries; every 7th tag is affected by the fault."""

    fault: Fault = Fault.NONE
    kept: int | None = None
    token: str = ""
    tags: list[tuple[int, Tag]] = field(default_factory=list)
    counted: list[tuple[int, Tag]] = field(default_factory=list)
    received: int = 0

    def store(self, tag: Tag, times: int = 1) -> None:
        """Store for profiles once and for aggregates so many times."""
        timed = (epoch_ms(tag["time"]), tag)
        self.tags.append(timed)
        self.counted += [timed] * times

    def add(self, tag: Tag) -> int | None:
        """Handle a tag; returns the status, None for no answer."""
        self.received += 1
        struck = self.received % 7 == 0
        fault = self.fault if struck else Fault.NONE
        if fault in (Fault.LOSES_TAGS, Fault.REFUSES, Fault.SILENT):
            pass
        else:
            self.store(tag, 2 if fault is Fault.COUNTS_TWICE else 1)
        if fault in (Fault.REFUSES, Fault.REFUSES_AND_STORES):
            return 503
        return None if fault in (Fault.SILENT, Fault.SILENT_AND_STORES) else 204

    def profile(self, cookie: str, start: int, end: int, limit: int) -> Any:
        """Use case 2; `start` and `end` in ms."""
        answer: dict[str, Any] = {"cookie": cookie}
        end += self.fault is Fault.RANGE_END_INCLUSIVE
        start += self.fault is Fault.RANGE_START_EXCLUSIVE
        for name, action in (("views", "VIEW"), ("buys", "BUY")):
            mine = [
                (ms, tag)
                for ms, tag in self.tags
                if tag["cookie"] == cookie and tag["action"] == action
            ]
            mine.sort(key=lambda timed: timed[0], reverse=True)
            found = [tag for ms, tag in mine[: self.kept] if start <= ms < end]
            keeps_oldest = self.fault is Fault.LIMIT_KEEPS_OLDEST
            found = found[max(0, len(found) - limit) :] if keeps_oldest else found[:limit]
            if self.fault is Fault.OLDEST_FIRST:
                found.reverse()
            answer[name] = [self._shown(tag) for tag in found]
        return answer

    def _shown(self, tag: Tag) -> Tag:
        if self.fault is Fault.TIME_NORMALISED and "." not in tag["time"]:
            return {**tag, "time": tag["time"][:-1] + ".000Z"}
        if self.fault is Fault.PRODUCT_ID_AS_TEXT:
            info = tag["product_info"]
            return {**tag, "product_info": {**info, "product_id": str(info["product_id"])}}
        return tag

    def aggregate(self, query: dict[str, list[str]]) -> Any:
        """Use case 3."""
        start, end = map(epoch_ms, query["time_range"][0].split("_"))
        given = [key for key in ("origin", "brand_id", "category_id") if key in query]
        wanted = query["aggregates"]
        if self.fault is Fault.FIXED_COLUMN_ORDER:
            wanted = sorted(wanted)
        shift = 10_000 if self.fault is Fault.MINUTE_SHIFTED else 0
        rows = []
        for bucket in range(start, end, 60_000):
            prices = [
                tag["product_info"]["price"]
                for ms, tag in self.counted
                if bucket + shift <= ms < bucket + shift + 60_000
                and tag["action"] == query["action"][0]
                and all({**tag, **tag["product_info"]}[key] == query[key][0] for key in given)
            ]
            if not prices and self.fault is Fault.EMPTY_MINUTES_MISSING:
                continue
            moment = datetime.fromtimestamp(bucket / 1000, UTC)
            row = [moment.strftime("%Y-%m-%dT%H:%M:%S"), query["action"][0]]
            row += [query[key][0] for key in given]
            row += [str(len(prices) if one == "COUNT" else sum(prices)) for one in wanted]
            rows.append(row)
        columns = ["1m_bucket", "action", *given, *(one.lower() for one in wanted)]
        return {"columns": columns, "rows": rows}

    def answer(self, target: str, body: bytes) -> tuple[int | None, bytes]:
        """Status (None: no answer) and body of the answer to a POST."""
        parts = urlsplit(target)
        if parts.path == "/user_tags":
            return self.add(json.loads(body)), b""
        query = parse_qs(parts.query)
        if parts.path == "/aggregates":
            return 200, json.dumps(self.aggregate(query)).encode()
        start, end = map(epoch_ms, query["time_range"][0].split("_"))
        cookie = unquote(parts.path.removeprefix("/user_profiles/"))
        limit = int(query.get("limit", ["200"])[0])
        return 200, json.dumps(self.profile(cookie, start, end, limit)).encode()


class ReferenceServer:
    """The model behind HTTP, on a port of its own: `async with ReferenceServer(model) as port`."""

    def __init__(self, model: ReferenceModel) -> None:
        self.model = model
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                _, _, length = head.lower().partition("content-length:")
                body = await reader.readexactly(int(length.split("\r\n")[0] or 0))
                if not self.model.token or f"Bearer {self.model.token}\r\n" in head:
                    answer = self.model.answer(head.split(" ")[1], body)
                else:
                    answer = 401, b"{}"
                self._write(writer.write, *answer)
                if self.model.fault is Fault.CLOSES:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    def _write(self, write: Callable[[bytes], None], status: int | None, body: bytes) -> None:
        if status is None:
            return
        close = b"Connection: close\r\n" if self.model.fault is Fault.CLOSES else b""
        line = b"HTTP/1.1 %d X\r\n%b" % (status, close)
        if status == 204:
            write(line + b"\r\n")
        elif self.model.fault is Fault.CHUNKED:
            half = len(body) // 2
            write(line + b"Transfer-Encoding: chunked\r\n\r\n")
            for part in (body[:half], body[half:], b""):
                if part:
                    write(b"%x\r\n%b\r\n" % (len(part), part))
            write(b"0\r\n\r\n")
        else:
            write(line + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
