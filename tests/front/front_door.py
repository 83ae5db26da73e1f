"""Starts the front door in front of fake replicas, and sends raw bytes to it."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from ray.serve._private.http_util import _apply_middlewares
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.admission import Admission
from serve_app.http.front import Front
from setup.local.folder import CHECKOUT
from setup.local.waiting import wait_for
from tests.fakes.http import Client
from tests.free_port import free_port
from tests.front.rendering import rendered
from tests.front.serve_reading import what_serve_reads

PROGRAM = CHECKOUT / "setup" / "ingress" / "haproxy"


class Replica:
    """The HTTP side of a replica, with fakes for its stores, as Serve would run it."""

    def __init__(self) -> None:
        self.client = Client()
        self.admission = Admission()
        self.port = free_port()
        self.asked = 0
        """Requests whose head has arrived here, without health checks."""
        self.at_once = 0
        self.most_at_once = 0
        self.heads: list[dict[bytes, bytes]] = []
        # Serve's own is innermost, as it has it.
        self.app: ASGIApp = _apply_middlewares(
            self._as_serve,
            [Middleware(self._seen), Middleware(Front, self.admission)],  # type: ignore[list-item]
        )

    async def _as_serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/-/healthz":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"success"})
            return
        what_serve_reads(scope["headers"])
        await self.client.app(scope, receive, send)

    def _seen(self, app: ASGIApp) -> ASGIApp:
        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/-/healthz":
                await app(scope, receive, send)
                return
            self.asked += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.heads.append(dict(scope["headers"]))
            try:
                await app(scope, receive, send)
            finally:
                self.at_once -= 1

        return count

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread."""
        config = uvicorn.Config(
            self.app, port=self.port, lifespan="off", log_config=None, timeout_keep_alive=90
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_for("uvicorn", lambda: None if server.started else "starts", timeout_s=10)
        try:
            yield
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


@contextlib.contextmanager
def haproxy(folder: Path, replicas: dict[str, list[int]]) -> Iterator[int]:
    """The real HAProxy as Ray starts it, with replicas at these ports by backend; its port."""
    port = free_port()
    rendered(folder, replicas, port=port, host="127.0.0.1")
    environment = {
        **os.environ,
        "INGRESS_PYTHON": sys.executable,
        "PYTHONPATH": str(CHECKOUT),
    }
    with (folder / "haproxy.log").open("w") as log:
        process = subprocess.Popen(
            [PROGRAM, "-db", "-f", folder / "haproxy.cfg", "-dR"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for("HAProxy", lambda: None if _listens(port) else "is silent", timeout_s=10)
        yield port
    finally:
        process.kill()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class SocketAnswer:
    """An answer read from a socket; status 0: no answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def is_problem(self) -> bool:
        """Whether it is a problem document."""
        return self.headers.get(b"content-type") == b"application/problem+json"


NONE = SocketAnswer(0, {}, b"")


async def answer_on(reader: asyncio.StreamReader, timeout_s: float = 20) -> SocketAnswer:
    """The next answer other than 100; `NONE` if the connection ends first."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head[:-4].split(b"\r\n")
                status = int(first.split()[1])
                if status != 100:
                    break
            pairs = (line.split(b":", 1) for line in lines)
            headers = {name.lower(): value.strip() for name, value in pairs}
            if headers.get(b"transfer-encoding") == b"chunked":
                return SocketAnswer(status, headers, await reader.read(65536))
            length = int(headers.get(b"content-length", b"0"))
            return SocketAnswer(status, headers, await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return NONE


async def exchange(
    port: int, *parts: bytes, end: bool = False, timeout_s: float = 20
) -> SocketAnswer:
    """Send on a new connection and return the first answer; ``end``: then shut down writing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if end:
            writer.write_eof()
        return await answer_on(reader, timeout_s)
    except ConnectionError:
        return NONE
    finally:
        writer.transport.abort()
