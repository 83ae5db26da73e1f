"""A pool of keep-alive connections: one request at a time on each, as many as needed."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from tests.webpanel.http_wire import AnswerParser, WireError

_CONNECT_S = 2.0
_IDLE_S = 3.0  # servers close idle connections after 5 s or more; closing first loses no request


class Failure(Enum):
    """Why a request got no answer."""

    CONNECT = "connect"
    READ_TIMEOUT = "read timeout"
    OTHER = "other"


class Exchange:
    """A request and its outcome. Times are seconds of the monotonic clock.

    `due` is when the schedule wanted it sent, `sent` when it was handed over. The time-out runs
    from `sent`, so that the panel's own delay does not count against the server.
    """

    __slots__ = ("connection", "done", "due", "kind", "payload", "sent", "subject")

    def __init__(self, kind: int, subject: Any, payload: bytes, due: float, sent: float) -> None:
        """`kind` indexes the pool's time-outs; `subject` is opaque and belongs to the caller."""
        self.kind = kind
        self.subject = subject
        self.payload = payload
        self.due = due
        self.sent = sent
        self.connection: Connection | None = None
        self.done = False


class Connection(asyncio.Protocol):
    """One connection of the pool."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._parser: AnswerParser | None = None
        self.exchange: Exchange | None = None
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]

    def send(self, exchange: Exchange) -> None:
        """Write the request; the connection must be connected and free."""
        assert self.transport is not None
        self.exchange, exchange.connection = exchange, self
        self.transport.write(exchange.payload)
        exchange.payload = b""

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        exchange = self.exchange
        if exchange is None:  # unsolicited, such as a 408 before closing
            self.abort()
            return
        if self._parser is None:
            # Fast path: a complete 204 in one piece without "Connection: close" (or "Close").
            if (
                data.startswith(b"HTTP/1.1 204")
                and data.endswith(b"\r\n\r\n")
                and b"lose" not in data
            ):
                self.exchange = None
                self._pool.answered(exchange, 204, b"")
                self._pool.release(self)
                return
            self._parser = AnswerParser()
        try:
            whole = self._parser.feed(data)
        except WireError:
            self._fail(Failure.OTHER)
            return
        if whole:
            self._finish(exchange, self._parser)

    def _finish(self, exchange: Exchange, parser: AnswerParser) -> None:
        self.exchange, self._parser = None, None
        self._pool.answered(exchange, parser.status, parser.body)
        if parser.close:
            self.abort()
        else:
            self._pool.release(self)

    def _fail(self, failure: Failure) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self._pool.failed(exchange, failure)
        self.abort()

    def abort(self) -> None:
        """Close at once; the exchange is not reported."""
        self.exchange = None
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        exchange, parser = self.exchange, self._parser
        self.exchange = None
        self._pool.forget(self)
        if exchange is not None:
            if exc is None and parser is not None and parser.end():
                self._pool.answered(exchange, parser.status, parser.body)
            else:
                self._pool.failed(exchange, Failure.OTHER)


class Pool:
    """Sends exchanges and reports each exactly once, as answered or as failed.

    The most recently used connection is taken first, so that surplus ones become idle and close.
    The owner must call `sweep` every few milliseconds: it does all time-outs.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeouts_s: tuple[float, ...],
        most: int,
        connect_s: float = _CONNECT_S,
        on_answer: Callable[[Exchange, int, bytes], None],
        on_failure: Callable[[Exchange, Failure], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeouts_s` by kind of exchange; at most `most` open connections.

        After `connect_s` a connection that has not come about is given up. The kernel would try
        for two minutes, while a host that swallows packets takes up all of `most`.
        """
        self._address = (host, port)
        self._timeouts = timeouts_s
        self._most = most
        self._connect_s = connect_s
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._clock = clock
        self._free: deque[Connection] = deque()
        self._waiting: deque[Exchange] = deque()
        self._sent: tuple[deque[Exchange], ...] = tuple(deque() for _ in timeouts_s)
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._all_closed = asyncio.Event()
        self.opened = 0

    @asynccontextmanager
    async def swept(self) -> AsyncIterator[None]:
        """Sweeps meanwhile and closes in the end: for callers whose time-outs are of seconds."""

        async def sweep() -> None:
            while True:
                await asyncio.sleep(0.1)
                self.sweep(self._clock())

        sweeper = asyncio.create_task(sweep())
        try:
            yield
        finally:
            sweeper.cancel()
            await self.close()

    async def warm(self, count: int) -> None:
        """Open `count` connections in advance; a refused connection is no error yet."""
        await asyncio.gather(*(self._connect(None) for _ in range(count)))

    def send(self, exchange: Exchange) -> None:
        """Send now, or as soon as a connection is free."""
        self._sent[exchange.kind].append(exchange)
        if self._free:
            self._free.pop().send(exchange)
        elif len(self._open) + len(self._opening) < self._most:
            self._open_for(exchange)
        else:
            self._waiting.append(exchange)

    def _open_for(self, exchange: Exchange) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, exchange: Exchange | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), *self._address
                )
        except OSError:
            if exchange is not None and not exchange.done:
                self.failed(exchange, Failure.CONNECT)
            return
        self.opened += 1
        self._open.add(connection)
        if exchange is None or exchange.done:
            self.release(connection)
        else:
            connection.send(exchange)

    def release(self, connection: Connection) -> None:
        """Reuse a connection that has become free."""
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.done:
                connection.send(exchange)
                return
        connection.idle_since = self._clock()
        self._free.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a closed connection."""
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()
        if connection in self._free:
            self._free.remove(connection)
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.done:
                self._open_for(exchange)
                break

    def answered(self, exchange: Exchange, status: int, body: bytes) -> None:
        """Report an answer; one past the time-out is reported as a time-out."""
        if exchange.done:
            return
        if self._clock() - exchange.sent > self._timeouts[exchange.kind]:
            self.failed(exchange, Failure.READ_TIMEOUT)
            return
        exchange.done = True
        exchange.connection = None
        self._on_answer(exchange, status, body)

    def failed(self, exchange: Exchange, failure: Failure) -> None:
        """Report an exchange that will get no answer."""
        if not exchange.done:
            exchange.done = True
            exchange.connection = None
            exchange.payload = b""
            self._on_failure(exchange, failure)

    def sweep(self, now: float) -> None:
        """Time out overdue exchanges, and close idle connections."""
        for queue, timeout in zip(self._sent, self._timeouts, strict=True):
            oldest = now - timeout
            while queue and (queue[0].done or queue[0].sent < oldest):
                exchange = queue.popleft()
                if not exchange.done:
                    self._expire(exchange)
        while self._free and self._free[0].idle_since < now - _IDLE_S:
            self._free.popleft().abort()

    def _expire(self, exchange: Exchange) -> None:
        connection = exchange.connection
        if connection is None:  # it never got a connection
            self.failed(exchange, Failure.CONNECT)
            return
        connection.exchange = None
        connection.abort()
        self.failed(exchange, Failure.READ_TIMEOUT)

    async def close(self) -> None:
        """Close all connections; exchanges in flight are reported as failed."""
        for task in tuple(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for queue in self._sent:
            for exchange in queue:
                self.failed(exchange, Failure.OTHER)
        self._waiting.clear()
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            self._all_closed.clear()
            await self._all_closed.wait()
