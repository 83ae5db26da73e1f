"""A replica whose host answers nothing, not even a connection, as one without power does."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from setup.ingress.config import CONNECT_MS
from tests.front.front_door import Replica, exchange, haproxy
from tests.front.test_queues import TAG

AT_ONCE: Final = 10
SLOW_S: Final = 0.8 * CONNECT_MS / 1_000


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Connections to it are neither refused nor made: too many wait to be accepted."""
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


async def tags(port: int) -> tuple[list[int], float]:
    """Statuses of some at once, and how long the slowest took (s)."""
    began_s = time.monotonic()
    answers = await asyncio.gather(*(exchange(port, TAG) for _ in range(AT_ONCE)))
    return [answer.status for answer in answers], time.monotonic() - began_s


async def test_it_costs_its_first_requests_a_moment_and_no_others(tmp_path: Path) -> None:
    replica = Replica()
    with (
        silent_port() as silent,
        replica.running(),
        haproxy(tmp_path, {"http-case12": [silent, replica.port]}) as port,
    ):
        statuses, first_s = await tags(port)
        # Sent to the other one instead.
        assert statuses == [204] * AT_ONCE
        assert SLOW_S < first_s < 6 * SLOW_S
        times_s = []
        for _ in range(5):
            statuses, took_s = await tags(port)
            assert statuses == [204] * AT_ONCE
            times_s.append(took_s)
        assert sum(times_s) < len(times_s) * SLOW_S, times_s
