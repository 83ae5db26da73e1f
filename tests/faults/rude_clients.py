"""Rude clients: they must not affect others, and no store may end up with half a tag."""

import resource
import socket
import struct
import threading
import time
from typing import Final

from setup.local.ports import HOST
from tests.faults.fault_context import FaultContext
from tests.faults.injections import Heal, nothing
from tests.faults.outcome import REFUSED, UNKNOWN, SentTag, outcome_of

_EACH: Final = 40
_IDLE: Final = 1_000
_SLOW_S: Final = 6.0
_SPARE_FILES: Final = 500


def rude_clients(context: FaultContext) -> Heal:
    """Clients that leave before the answer, in mid-body, and that send a few bytes a second."""
    slow = [
        threading.Thread(target=_send_slowly, args=(context, context.tag())) for _ in range(_EACH)
    ]
    for thread in slow:
        thread.start()
    for number in range(_EACH):
        _leave_before_the_answer(context, context.tag(), reset=bool(number % 2))
        _leave_in_mid_body(context, context.tag(), reset=bool(number % 2))
        time.sleep(_SLOW_S / _EACH)
    for thread in slow:
        thread.join()
    return nothing


def idle_connections(context: FaultContext) -> Heal:
    """A thousand connections that send nothing, or half a request line."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _IDLE + _SPARE_FILES), most))
    connections = [connect(context) for _ in range(_IDLE)]
    for connection in connections[::2]:
        connection.sendall(b"POST /user_ta")

    def close() -> None:
        for connection in connections:
            connection.close()

    return close


def connect(context: FaultContext) -> socket.socket:
    """To the API, with a time-out of 10 s."""
    return socket.create_connection((HOST, context.platform.http_port), timeout=10)


def _request(body: bytes) -> bytes:
    return b"POST /user_tags HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _leave(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        # SO_LINGER 0: close() sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _leave_before_the_answer(context: FaultContext, tag: SentTag, *, reset: bool) -> None:
    connection = connect(context)
    connection.sendall(_request(tag.body))
    _leave(connection, reset=reset)
    context.own_tags.append(SentTag(tag.body, tag.ms, UNKNOWN))
    context.paired.append(tag.body)


def _leave_in_mid_body(context: FaultContext, tag: SentTag, *, reset: bool) -> None:
    connection = connect(context)
    connection.sendall(_request(tag.body)[: -len(tag.body) // 2])
    _leave(connection, reset=reset)
    # Never sent completely, so it must not be stored.
    context.own_tags.append(SentTag(tag.body, tag.ms, REFUSED))


def _send_slowly(context: FaultContext, tag: SentTag) -> None:
    request = _request(tag.body)
    pieces = [request[at : at + 16] for at in range(0, len(request), 16)]
    status = 0
    try:
        with connect(context) as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(_SLOW_S / len(pieces))
            status = int(connection.recv(4096).split(b" ")[1])
    except (OSError, IndexError):
        pass
    context.own_tags.append(SentTag(tag.body, tag.ms, outcome_of(status)))
