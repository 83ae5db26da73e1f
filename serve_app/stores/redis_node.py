"""One pipelined connection to one Redis node, with a circuit breaker.

All requests of a process to a node share the connection: they are written at once and answered in
order, so concurrent requests cost one system call each way instead of one each. redis-py packs
and reads the same bytes (through hiredis) at several times the processor time per command, and its
cluster pipeline tears down every node's connections when one node errs.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from serve_app.core.clock import Clock, SystemClock

Command = tuple[bytes | str | int, ...]
# hiredis' stub asks for a tuple of one; it takes any.
_pack: Callable[[Command], bytes] = cast(Any, hiredis.pack_command)
Reply = Any
"""bytes, int, None, a list of replies, or a `hiredis.ReplyError` in the place of one."""


class NodeUnavailable(Exception):
    """The node did not answer in time, or is known to be down; the request may have been done."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password; empty if the server asks for none."""

    username: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        """Without the password."""
        return f"Credentials(username={self.username!r}, tls={self.tls is not None})"


class _Connection(asyncio.Protocol):
    """Replies come in the order of the commands: a queue of waiters, each for some replies."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[list[Reply]], int]] = deque()
        self._replies: list[Reply] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not a subclass of asyncio's Transport under uvloop.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(error or ConnectionResetError("closed by the node"))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError as error:
            self._fail(error)
            self.abort()

    def request(self, commands: Sequence[Command]) -> asyncio.Future[list[Reply]]:
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            future.set_exception(ConnectionResetError("not connected"))
            return future
        self._waiting.append((future, len(commands)))
        self._transport.write(b"".join(map(_pack, commands)))
        return future

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _take(self, reply: Reply) -> None:
        if not self._waiting:
            return
        self._replies.append(reply)
        future, wanted = self._waiting[0]
        if len(self._replies) == wanted:
            self._waiting.popleft()
            replies, self._replies = self._replies, []
            if not future.done():
                future.set_result(replies)

    def _fail(self, error: Exception) -> None:
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)


async def _answer(replies: asyncio.Future[list[Reply]], timeout_s: float) -> list[Reply]:
    """What ``replies`` becomes; TimeoutError if it does not within ``timeout_s``."""
    timer = asyncio.get_running_loop().call_later(max(0.0, timeout_s), _time_out, replies)
    try:
        return await replies
    finally:
        timer.cancel()


def _time_out(replies: asyncio.Future[list[Reply]]) -> None:
    # After a stall of this process the timer fires before the loop reads the reply that waits in
    # the socket: let it read first, or a burst of work would mark a good node down.
    asyncio.get_running_loop().call_soon(_give_up, replies)


def _give_up(replies: asyncio.Future[list[Reply]]) -> None:
    if not replies.done():
        replies.set_exception(TimeoutError("no answer in time"))


class RedisNode:
    """A node by its address and id; connects when first asked and again after a failure.

    A name may lead to another node: nodes that were away at the same time may have changed
    addresses, and DNS may learn of it later than the cluster. So each connection asks who answers.

    After a failure the node is marked down for `BREAK_S`: requests fail at once instead of waiting
    for their time-out; then one of them tries again.
    """

    BREAK_S = 0.25

    def __init__(
        self,
        host: str,
        port: int,
        *,
        credentials: Credentials,
        node_id: str = "",
        replica: bool = False,
        scripts: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        """Connects at the first request.

        Args:
            host: name or address.
            port: of its clients.
            credentials: what it asks for.
            node_id: of CLUSTER MYID; empty where any node will do.
            replica: ask for READONLY, so that it answers reads of its master's slots.
            scripts: Lua texts that each connection loads first, so that EVALSHA finds them.
            clock: for the pause after a failure.
        """
        self.host = host
        self.port = port
        self._credentials = credentials
        self._node_id = node_id
        self._replica = replica
        self._scripts = tuple(scripts)
        self._clock = clock or SystemClock()
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._retry_at_s = 0.0
        self._retired = False

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def down(self) -> bool:
        """Whether the node is marked down: requests fail at once."""
        return self._clock.monotonic() < self._retry_at_s

    async def execute(self, commands: Sequence[Command], timeout_s: float) -> list[Reply]:
        """The replies to ``commands``, sent as one pipeline.

        An error reply of the server stands in its place as a `hiredis.ReplyError`.

        Raises:
            NodeUnavailable: no complete answer within ``timeout_s``.
        """
        if not commands:
            return []
        if self.down:
            raise NodeUnavailable(f"Redis node {self.address} is down")
        connection = self._connection
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        try:
            if connection is None:
                async with asyncio.timeout(timeout_s):
                    connection = await self._connect()
            return await _answer(connection.request(commands), deadline_s - loop.time())
        except (OSError, TimeoutError, hiredis.HiredisError) as error:
            # A failure on a connection that was replaced meanwhile says nothing about the new one.
            if self._connection is None or self._connection is connection:
                self._break()
            raise NodeUnavailable(f"Redis node {self.address}: {error!r}") from error

    def close(self) -> None:
        """Drop the connection; pending requests raise `NodeUnavailable`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def retire(self) -> None:
        """Close for good: from now on every request raises `NodeUnavailable`.

        For a node that leaves the map: who still refers to it must not connect again, as nobody
        would close that connection.
        """
        self._retired = True
        self.close()

    def _break(self) -> None:
        self._retry_at_s = self._clock.monotonic() + self.BREAK_S
        self.close()

    async def _connect(self) -> _Connection:
        async with self._connecting:
            if self._connection is not None:
                return self._connection
            self._check_not_retired()
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                _Connection, self.host, self.port, ssl=self._credentials.tls
            )
            try:
                replies = await connection.request(self._greeting())
                for reply in replies:
                    if isinstance(reply, hiredis.ReplyError):
                        raise reply
                if self._node_id and replies[-1] != self._node_id.encode():
                    raise ConnectionError(f"node {replies[-1]!r} answers for {self._node_id}")
                self._check_not_retired()
            except BaseException:
                connection.abort()
                raise
            self._connection = connection
            return connection

    def _check_not_retired(self) -> None:
        if self._retired:
            raise ConnectionError("no longer in the map of the cluster")

    def _greeting(self) -> list[Command]:
        commands: list[Command] = []
        if self._credentials.password:
            commands.append(
                ("AUTH", self._credentials.username or "default", self._credentials.password)
            )
        if self._replica:
            commands.append(("READONLY",))
        commands += [("SCRIPT", "LOAD", text) for text in self._scripts]
        # A stopped process still accepts connections (the kernel does); only an answer counts.
        commands.append(("CLUSTER", "MYID") if self._node_id else ("PING",))
        return commands
