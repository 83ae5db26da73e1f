"""Hostile clients: they hold connections, never finish, or send malformed requests."""

import gzip
import resource
import selectors
import socket
import threading
import time
from typing import Final

from serve_app.core.tag import MAX_BODY_BYTES
from tests.faults.fault_context import FaultContext
from tests.faults.injections import Heal, nothing
from tests.faults.outcome import SentTag, outcome_of
from tests.faults.rude_clients import connect

_HALF_HEADS: Final = 4_300
_ENDLESS: Final = 300
_SPARE_FILES: Final = 500
_TRICKLE_S: Final = 0.5
_FLOOD: Final = 20_000
"""Bytes: more than a buffer of HAProxy holds, so that a replica gets the rest."""
_ODD: Final = tuple(
    (lines, b"gzip" in lines)
    for lines in (
        b"X-Request-ID: \xff\r\n",
        b"X-Session-ID: \xff\r\n",
        b"X-Request-Timeout-Seconds: 0.001\r\n",
        b"X-Request-Timeout-Seconds: \xff\r\n",
        b"X-Request-Disconnect-Disabled: ?0\r\n",
        b"serve_multiplexed_model_id: \xff\r\n",
        b"traceparent: \xff\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAA\r\n",
        b"Expect: 100-continue\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: br\r\n",
        b"Content-Length: 1\r\n",
        b"X: " + b"y" * 8_000 + b"\r\n",
        b"X: " + b"y" * 20_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(500)),
    )
    for _ in range(5)
)


def half_heads(context: FaultContext) -> Heal:
    """Thousands of connections with half a request line, reopened when closed."""
    return _keep_open(context, _HALF_HEADS, b"POST /user_ta", trickle=b"")


def endless_bodies(context: FaultContext) -> Heal:
    """Hundreds of bodies that never end, a byte at a time; half begin with a large chunk."""
    head = b"POST /user_tags HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
    slow = _keep_open(context, _ENDLESS // 2, head, trickle=b" ")
    flooding = _keep_open(context, _ENDLESS // 2, head + b" " * _FLOOD, trickle=b" ")

    def heal() -> None:
        slow()
        flooding()

    return heal


def odd_requests(context: FaultContext) -> Heal:
    """Tags in unusual requests that Serve might handle wrongly; accepted ones must be stored.

    Raises:
        AssertionError: an unexpected status.
    """
    for lines, packed in _ODD:
        tag = context.tag()
        body = gzip.compress(tag.body) if packed else tag.body
        status = _ask(context, lines, body)
        assert 200 <= status < 500 or status == 503, f"{status} for {lines!r}"
        context.own_tags.append(SentTag(tag.body, tag.ms, outcome_of(status)))
    bomb = gzip.compress(b" " * 500 * MAX_BODY_BYTES)
    for _ in range(20):
        status = _ask(context, b"Content-Encoding: gzip\r\n", bomb)
        assert status in (413, 503), f"{status} for a body that inflates to 32 MB"
    return nothing


def _ask(context: FaultContext, lines: bytes, body: bytes) -> int:
    """Status of the last answer before the server waits or closes; 400 if there is none."""
    head = (
        b"POST /user_tags HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%bContent-Length: %d\r\n\r\n"
    )
    received = b""
    try:
        with connect(context) as connection:
            connection.sendall(head % (lines, len(body)) + body)
            while data := connection.recv(65536):
                received += data
    except ConnectionError:
        # The server does not read a refused body to its end.
        pass
    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    return statuses[-1] if statuses else 400


def _keep_open(context: FaultContext, number: int, first: bytes, *, trickle: bytes) -> Heal:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _HALF_HEADS + _SPARE_FILES), most))
    over = threading.Event()

    def hold() -> None:
        with selectors.DefaultSelector() as selector:
            connections: set[socket.socket] = set()

            def drop(connection: socket.socket) -> None:
                selector.unregister(connection)
                connections.discard(connection)
                connection.close()

            last_s = time.monotonic()
            while not over.is_set():
                # A few at a time: the sender's own work must not delay others.
                for _ in range(min(100, number - len(connections))):
                    try:
                        connection = connect(context)
                    except OSError:
                        break
                    connection.setblocking(False)
                    connections.add(connection)
                    selector.register(connection, selectors.EVENT_READ)
                    _send(connection, first)
                for key, _ in selector.select(timeout=0.05):
                    drop(key.fileobj)  # type: ignore[arg-type]
                if trickle and time.monotonic() - last_s > _TRICKLE_S:
                    last_s = time.monotonic()
                    for connection in list(connections):
                        if not _send(connection, trickle):
                            drop(connection)
            for connection in list(connections):
                drop(connection)

    thread = threading.Thread(target=hold)
    thread.start()

    def heal() -> None:
        over.set()
        thread.join()

    return heal


def _send(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.send(data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True
