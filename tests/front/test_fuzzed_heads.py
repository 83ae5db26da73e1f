"""Runs the fuzzer of request heads for some seconds, and checks that it finds errors."""

import socket
import threading
from collections import Counter

import pytest

from tests.front.conftest import Door
from tests.front.fuzz import WrongAnswerError, check, check_others, fuzz
from tests.front.heads import Request
from tests.marks import second_tier


# Of Serve's request ids, made in a thread meanwhile.
@second_tier
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
def test_no_head_gets_a_5xx_or_plain_text(door: Door) -> None:
    statuses: Counter[int] = Counter()
    fuzz(door.port, 200, statuses)
    # It reached both sides of the parsers.
    assert statuses[204] > 20
    assert statuses[400] > 20


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 504 Gateway Timeout\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_it_sees_an_answer_that_is_wrong(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(WrongAnswerError):
            check(port, Request(b"GET / HTTP/1.1\r\n\r\n", ()), Counter())
        if not answer.startswith(b"HTTP/1.1 204 "):
            with pytest.raises(WrongAnswerError):
                check_others(port)
        else:
            check_others(port)
        thread.join(10)
