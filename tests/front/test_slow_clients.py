"""Slow, silent or many clients: cut off within seconds, without effect on others."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from setup.ingress.config import HEAD_S, QUEUES
from tests.fakes.http import BODY
from tests.front.conftest import Door
from tests.front.front_door import NONE, SocketAnswer, answer_on, exchange
from tests.marks import second_tier

TAG = b"POST /user_tags HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
LARGE_QUERY = (
    b"POST /user_profiles/me?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00 HTTP/1.1\r\n"
    b"Host: x\r\nContent-Length: 20000\r\n\r\n" + b" " * 20_000
)
LARGE_TAGS = next(queue for queue in QUEUES if queue.name == "large_tags")
HALF_HEADS = 4_300
IDLE = 6_000
"""Connections that this process may open, at two files each, including HAProxy's."""
IN_TIME_S = 1.0


@pytest.fixture(autouse=True, scope="module")
def _many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def connections(
    port: int, number: int, first: bytes
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """So many that have sent ``first``; closed at the end."""
    opened = []
    try:
        for _ in range(0, number, 100):
            batch = [asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
            opened += await asyncio.gather(*batch)
            for _, writer in opened[-100:]:
                writer.write(first)
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def check_others(port: int, number: int = 40) -> None:
    """Check that other requests, each on a new connection, are answered in time."""
    for _ in range(number):
        begun_s = time.monotonic()
        assert (await exchange(port, TAG)).status == 204
        assert time.monotonic() - begun_s < IN_TIME_S


def check_problem(answer: SocketAnswer, status: int) -> None:
    assert answer.status == status
    assert answer.is_problem
    assert json.loads(answer.body)["status"] == status


async def test_thousands_of_half_heads_shut_nobody_out_and_end_in_seconds(door: Door) -> None:
    begun_s = time.monotonic()
    async with connections(door.port, HALF_HEADS, b"POST /user_ta") as opened:
        await check_others(door.port)
        answers = await asyncio.gather(*(answer_on(reader) for reader, _ in opened))
    # HAProxy's parser answers these, before there is a request to which an errorfile would apply.
    assert {answer.status for answer in answers} == {408}
    assert time.monotonic() - begun_s < HEAD_S + 10


@second_tier
async def test_thousands_of_connections_that_say_nothing_end_in_seconds(door: Door) -> None:
    async with connections(door.port, 1_000, b"") as opened:
        await check_others(door.port)
        answers = await asyncio.gather(*(answer_on(reader) for reader, _ in opened))
    # Some clients open one ahead: an answer without a request would be read as that of the next.
    assert set(map(str, answers)) == {str(NONE)}


@second_tier
async def test_thousands_of_idle_connections_hurt_nobody(door: Door) -> None:
    async with connections(door.port, IDLE, TAG) as opened:
        first = await asyncio.gather(*(answer_on(reader) for reader, _ in opened))
        assert {answer.status for answer in first} <= {204, 503}
        await check_others(door.port)
        # They are still open, for longer than half a head would be.
        await asyncio.sleep(HEAD_S + 1)
        for reader, writer in opened[::100]:
            writer.write(TAG)
            assert (await answer_on(reader)).status == 204


@second_tier
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100000\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_a_body_that_never_comes_is_never_handed_to_a_replica(
    door: Door, framing: bytes
) -> None:
    asked, begun_s = door.replica.asked, time.monotonic()
    head = b"POST /user_tags HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n"
    async with connections(door.port, 1_000, head) as opened:
        await check_others(door.port)
        answers = await asyncio.gather(*(answer_on(reader) for reader, _ in opened))
    assert {answer.status for answer in answers} == {408}
    check_problem(answers[0], 408)
    assert time.monotonic() - begun_s < HEAD_S + 10
    assert door.replica.asked - asked == 40


@pytest.mark.parametrize("padding", [0, 9_000])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n"]
)
@second_tier
async def test_bodies_that_fill_a_buffer_and_never_end_take_no_place_of_others(
    door: Door, framing: bytes, padding: int
) -> None:
    """A replica is asked, and waits for the rest; of few at a time, not of all that come."""
    sent = b" " * (20_000 - padding)
    framing = framing % len(sent) if b"%x" in framing else framing
    head = b"POST /user_tags HTTP/1.1\r\nHost: x\r\nX: %b\r\n%b" % (b"y" * padding, framing)
    door.replica.most_at_once = door.replica.at_once
    async with connections(door.port, 200, head + sent) as opened:
        await asyncio.sleep(1)
        await check_others(door.port)
        # Queries with large bodies have other places than large tags.
        assert (await exchange(door.port, LARGE_QUERY)).status == 200
        assert door.replica.most_at_once <= LARGE_TAGS.at_a_time + 1
        answers = await asyncio.gather(*(answer_on(reader, 30) for reader, _ in opened))
    assert {answer.status for answer in answers} <= {408, 503}


@pytest.mark.parametrize("size", [200, 30_000])
@second_tier
async def test_a_body_that_trickles_is_ended_in_seconds(door: Door, size: int) -> None:
    """Up to the size of a buffer by HAProxy, beyond that by the replica."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    begun_s = time.monotonic()
    writer.write(b"POST /user_tags HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * size))
    writer.write(b" " * size)

    async def trickle() -> None:
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.3)

    trickling = asyncio.create_task(trickle())
    try:
        check_problem(await answer_on(reader, 30), 408)
        assert time.monotonic() - begun_s < 15
        # The connection is closed: further bytes are not taken as a request.
        async with asyncio.timeout(5):
            assert await reader.read() == b""
    finally:
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        writer.transport.abort()
    assert door.replica.admission.under_way == 0
