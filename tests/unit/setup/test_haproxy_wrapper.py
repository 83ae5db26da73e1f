"""What stands in for HAProxy: loopback only, and its own answers are 503 and 504, never a 500."""

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from setup.local.folder import CHECKOUT
from setup.local.tools import find_haproxy
from setup.local.waiting import wait_for
from tests.free_port import free_port

WRAPPER = CHECKOUT / "setup" / "local" / "haproxy_on_loopback"
CONFIG = """\
global
    log 127.0.0.1:{log} local0 info
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    errorfile 502 /nowhere/500.http
    errorfile 503 /nowhere/500.http
    errorfile 504 /nowhere/500.http
frontend http_frontend
    bind *:{port}
    acl is_there path_beg {prefix}
    use_backend replicas if is_there
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \\'%[path]\\' not found."
backend replicas
    server one 127.0.0.1:{server}
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def haproxy(folder: Path, server: int, prefix: str = "/", log: int = 9) -> Iterator[int]:
    """The real one before one server; its port."""
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(CONFIG.format(port=port, server=server, prefix=prefix, log=log))
    environment = {**os.environ, "LOOPBACK_HAPROXY_BINARY": str(find_haproxy())}
    process = subprocess.Popen([WRAPPER, "-db", "-f", file], env=environment)
    try:
        wait_for("HAProxy", lambda: None if listens(port) else "does not listen", timeout_s=10)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def test_without_a_replica_it_is_503_with_retry_after(tmp_path: Path) -> None:
    with haproxy(tmp_path, free_port()) as port:
        answer = httpx.post(f"http://127.0.0.1:{port}/user_tags", json={})
        assert f"bind 127.0.0.1:{port}" in (tmp_path / "haproxy.cfg").read_text()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 503
    assert "nothing was stored" in answer.json()["detail"]


def test_no_datagram_is_sent_for_a_request(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as log:
        log.bind(("127.0.0.1", 0))
        log.setblocking(False)
        with haproxy(tmp_path, free_port(), log=log.getsockname()[1]) as port:
            httpx.post(f"http://127.0.0.1:{port}/user_tags", json={})
        # It has ended, so what it sent is here.
        with pytest.raises(BlockingIOError):
            log.recv(1)


def test_a_replica_is_told_when_the_ingress_had_the_request(tmp_path: Path) -> None:
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            seen.append(connection.recv(65536).decode())
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with haproxy(tmp_path, server.getsockname()[1]) as port:
            before_s = time.time()
            # Nobody but the ingress says it.
            forged = {"X-Request-Start": "t=1"}
            assert httpx.get(f"http://127.0.0.1:{port}/", headers=forged).status_code == 204
    (started_us,) = re.findall(r"(?im)^x-request-start: t=(\d+)\r$", seen[0])
    # HAProxy's clock is as old as its last look at its sockets.
    assert before_s - 1 <= int(started_us) / 1e6 <= time.time()


def test_a_path_whose_application_is_still_to_come_is_503(tmp_path: Path) -> None:
    with haproxy(tmp_path, free_port(), prefix="/case3") as port:
        answer = httpx.post(f"http://127.0.0.1:{port}/user_tags", json={})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["status"] == 503


def test_a_replica_that_goes_away_in_mid_request_is_504_not_nothing_was_stored(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        with haproxy(tmp_path, server.getsockname()[1]) as port:
            answer = httpx.post(f"http://127.0.0.1:{port}/user_tags", json={})
    assert answer.status_code == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Gateway Timeout"
