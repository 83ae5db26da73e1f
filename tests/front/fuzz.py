"""Any head of a request gets a correct answer, 4xx, or a closed connection, but never 5xx.

``python -m tests.front.fuzz [--seconds 600] [--port 8000]`` runs against fakes or an existing
platform; the test suite runs it for seconds (test_fuzzed_heads.py).
"""

import contextlib
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from hypothesis import HealthCheck, Phase, given, settings

from setup.command_line import run_main
from tests.fakes.http import BODY
from tests.front.front_door import Replica, haproxy
from tests.front.heads import REQUESTS, Request

TAG = b"POST /user_tags HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
_WAIT_S = 0.05
"""Seconds to wait for an answer before writing is shut down."""
_PATIENCE_S = 10.0


class WrongAnswerError(AssertionError):
    """An answer that is wrong for any head of a request."""


def check(port: int, request: Request, statuses: Counter[int]) -> None:
    """Send it on a new connection and check every answer.

    Raises:
        WrongAnswerError: a 5xx, or a 4xx with a body of neither ours nor HAProxy's.
    """
    received = exchange(port, request.parts)
    for head in heads_in(received):
        status = int(head[9:12])
        statuses[status] += 1
        if status >= 500 and status != 505:
            raise WrongAnswerError(f"{status} for {request.data!r}")
        plain = b"content-type: text/plain" in head.lower()
        if status >= 400 and plain:
            raise WrongAnswerError(f"{status} in plain text for {request.data!r}")
    if not received:
        statuses[0] += 1


def exchange(port: int, parts: list[bytes]) -> bytes:
    """All bytes received until the server closes."""
    received = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        connection.settimeout(_WAIT_S)
        with contextlib.suppress(TimeoutError):
            while data := connection.recv(65536):
                received += data
            return received
        connection.settimeout(_PATIENCE_S)
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            received += data
    return received


def heads_in(received: bytes) -> list[bytes]:
    """Heads of the answers, whatever their bodies are."""
    parts = received.split(b"HTTP/1.1 ")[1:]
    return [b"HTTP/1.1 " + part.partition(b"\r\n\r\n")[0] for part in parts if part[:3].isdigit()]


def check_others(port: int) -> None:
    """Check that a plain tag is accepted.

    Raises:
        WrongAnswerError: it is not.
    """
    received = exchange(port, [TAG])
    if not received.startswith(b"HTTP/1.1 204 "):
        raise WrongAnswerError(f"a plain tag was answered {received!r}")


def fuzz(port: int, examples: int, statuses: Counter[int]) -> None:
    """Send ``examples`` requests; Hypothesis shrinks one that gets a wrong answer, and raises."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(request=REQUESTS)
    def one(request: Request) -> None:
        check(port, request, statuses)

    one()
    check_others(port)


def main(
    seconds: float = 60.0,
    port: Annotated[
        int | None, typer.Option(help="Of an existing platform; default: fakes.")
    ] = None,
) -> int:
    """Exit status: 1 for a wrong answer."""
    end_s = time.monotonic() + seconds
    statuses: Counter[int] = Counter()
    with contextlib.ExitStack() as running:
        if port is None:
            replica = Replica()
            running.enter_context(replica.running())
            folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            port = running.enter_context(haproxy(folder, {"http-case12": [replica.port]}))
        while time.monotonic() < end_s:
            try:
                fuzz(port, 200, statuses)
            except WrongAnswerError as error:
                print(f"wrong: {error}")
                return 1
    print(f"{sum(statuses.values())} answers: {dict(sorted(statuses.items()))} (0: hung up)")
    return 0


if __name__ == "__main__":
    run_main(main, __doc__)
