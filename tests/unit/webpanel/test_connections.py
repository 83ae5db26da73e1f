"""The panel's pool of connections, against real sockets."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.webpanel.connections import Exchange, Failure, Pool

TIMEOUT_S = 0.1
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_a_host_that_swallows_packets_is_served_again_once_it_is_back() -> None:
    """Connections that never came about take no place of those that come about later."""
    answers: list[int] = []
    failures: list[Failure] = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        pool = Pool(
            "127.0.0.1",
            port,
            timeouts_s=(TIMEOUT_S,),
            most=2,
            connect_s=0.2,
            on_answer=lambda _, status, body: answers.append(status),
            on_failure=lambda _, failure: failures.append(failure),
        )

        def send() -> None:
            now = time.monotonic()
            pool.send(Exchange(0, None, b"request", now, now))

        with full_backlog(port):
            for _ in range(4):
                send()
            await asyncio.sleep(2 * TIMEOUT_S)
            pool.sweep(time.monotonic())
            assert failures == [Failure.CONNECT] * 4
            await asyncio.sleep(2 * TIMEOUT_S)
    with socket.create_server(("127.0.0.1", port)) as server:
        server.setblocking(False)
        send()
        loop = asyncio.get_running_loop()
        accepted, _ = await asyncio.wait_for(loop.sock_accept(server), timeout=5)
        await loop.sock_sendall(accepted, ANSWER)
        await asyncio.sleep(0.05)
        accepted.close()
        await pool.close()

    assert answers == [204]


@contextmanager
def full_backlog(port: int) -> Iterator[None]:
    """Of a server that accepts nothing: the kernel drops packets of whoever else comes."""
    made = [socket.socket() for _ in range(3)]
    for one in made:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    yield
    for one in made:
        one.close()
