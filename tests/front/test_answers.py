"""HAProxy's own answers are problem documents with the right status, never a 500."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from ray.serve._private.haproxy import HAProxyConfig

from tests.free_port import free_port
from tests.front.conftest import Door
from tests.front.front_door import haproxy

PLAIN = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"


def case12(port: int) -> dict[str, list[int]]:
    return {"http-case12": [port]}


def check(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.parametrize("path", ["/user_tags", "/user_profiles/a", "/aggregates", "/case3/status"])
@pytest.mark.parametrize("apps", ["none", "other", "dead"])
def test_without_a_replica_it_is_503_with_retry_after(tmp_path: Path, path: str, apps: str) -> None:
    states: dict[str, dict[str, list[int]]] = {
        "none": {},
        "other": {"http-case3": []},
        "dead": case12(free_port()),
    }
    replicas = states[apps]
    with haproxy(tmp_path, replicas) as port:
        answer = httpx.post(f"http://127.0.0.1:{port}{path}", json={})
    check(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert "nothing was stored" in answer.json()["detail"]


@contextmanager
def server(reply: bytes) -> Iterator[int]:
    """Answers each request except health checks with ``reply``, and closes; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            # Until the socket is closed.
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(ConnectionError):
                        healthy = b"/-/healthz" in connection.recv(65536)
                        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" if healthy else reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        # Closing it does not wake a thread that waits in accept.
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("path", ["/user_tags", "/user%5Ftags", "/%75ser_tags?a=/"])
def test_a_replica_that_goes_away_in_mid_request_is_504_not_nothing_was_stored(
    tmp_path: Path, path: str
) -> None:
    with server(b"") as replica, haproxy(tmp_path, case12(replica)) as port:
        # As it is: the client would decode a string's path.
        url = httpx.URL(f"http://127.0.0.1:{port}", raw_path=path.encode())
        answer = httpx.post(url, json={})
    check(answer, 504)


QUERIES = ("/user_profiles/me", "/aggregates", "/case3/status")


@pytest.mark.parametrize("path", QUERIES)
@pytest.mark.parametrize("reply", [b"", PLAIN % b"500 Internal Server Error"])
def test_a_query_whose_replica_goes_away_is_to_be_asked_again(
    tmp_path: Path, path: str, reply: bytes
) -> None:
    with server(reply) as replica, haproxy(tmp_path, case12(replica)) as port:
        answers = [
            httpx.post(f"http://127.0.0.1:{port}{path}", content=b" " * size)
            for size in (0, 10_000)
        ]
    for answer in answers:
        check(answer, 503)
        assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"400 Bad Request", 400),
        (b"404 Not Found", 400),
        (b"408 Request Timeout", 504),
        (b"499 Gone", 504),
        (b"500 Internal Server Error", 504),
        (b"503 Service Unavailable", 503),
    ],
)
def test_what_serve_says_in_plain_text_becomes_a_problem_document(
    tmp_path: Path, line: bytes, status: int
) -> None:
    with server(PLAIN % line) as replica, haproxy(tmp_path, case12(replica)) as port:
        answer = httpx.post(f"http://127.0.0.1:{port}/user_tags", json={})
    check(answer, status)


def test_a_replica_is_told_when_the_ingress_had_the_request(door: Door) -> None:
    before_s = time.time()
    # Only the ingress sends it.
    forged = {"X-Request-Start": "t=1"}
    assert httpx.get(f"http://127.0.0.1:{door.port}/health", headers=forged).status_code == 200
    (started_us,) = re.findall(rb"t=(\d+)", door.replica.heads[-1][b"x-request-start"])
    # HAProxy updates its clock when it polls its sockets.
    assert before_s - 1 <= int(started_us) / 1e6 <= time.time()


def test_no_datagram_is_sent_for_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.setblocking(False)
        target = f"127.0.0.1:{log.getsockname()[1]}"
        monkeypatch.setattr(HAProxyConfig, "log_target", target)
        with haproxy(tmp_path, {}) as port:
            httpx.post(f"http://127.0.0.1:{port}/user_tags", json={})
        # It has ended, so all its output has arrived.
        with pytest.raises(BlockingIOError):
            log.recv(1)
