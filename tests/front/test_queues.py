"""Overload queues in HAProxy, separately for each endpoint, and is refused there soon."""

import asyncio
import time

import pytest

from setup.ingress.config import FLOOD_S, QUEUES
from tests.fakes.http import BODY
from tests.front.conftest import Door
from tests.front.front_door import SocketAnswer, exchange

TAGS = next(queue for queue in QUEUES if queue.name == "tags")
TAG = b"POST /user_tags HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
PROFILE = (
    b"POST /user_profiles/me?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00 HTTP/1.1\r\n"
    b"Host: x\r\nContent-Length: 0\r\n\r\n"
)


async def timed(port: int, request: bytes) -> tuple[SocketAnswer, float]:
    begun_s = time.monotonic()
    return await exchange(port, request), time.monotonic() - begun_s


@pytest.fixture
async def open_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Until it is set, the log takes no tag."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def stalled(*_: object) -> None:
        # The replica's loop is another thread's.
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(event.wait(), loop))

    monkeypatch.setattr(door.replica.client.ingest, "accept", stalled)
    return event


async def test_what_no_replica_has_room_for_is_a_503_of_haproxys_own_soon(
    door: Door, open_again: asyncio.Event
) -> None:
    door.replica.most_at_once = 0
    clients = [asyncio.create_task(timed(door.port, TAG)) for _ in range(100)]
    await asyncio.sleep(TAGS.queue_ms / 1_000 + 1)
    # Requests that wait for one endpoint's store do not delay another endpoint.
    answer, took_s = await timed(door.port, PROFILE)
    assert (answer.status, took_s < 0.5) == (200, True)
    open_again.set()
    results = await asyncio.gather(*clients)
    accepted = [one for one, _ in results if one.status == 204]
    refused = [(one, took_s) for one, took_s in results if one.status == 503]
    assert len(accepted) == TAGS.at_a_time
    assert len(refused) == 100 - TAGS.at_a_time
    assert door.replica.most_at_once <= TAGS.at_a_time + 1
    for one, took_s in refused:
        assert one.is_problem
        assert one.headers[b"retry-after"] == b"1"
        assert took_s < TAGS.queue_ms / 1_000 + 0.5


async def test_clients_that_ask_again_at_once_wait_longer_for_their_refusal(
    door: Door, open_again: asyncio.Event
) -> None:
    number = TAGS.at_a_time + TAGS.flood + 100
    clients = [asyncio.create_task(timed(door.port, TAG)) for _ in range(number)]
    await asyncio.sleep(FLOOD_S + 1)
    open_again.set()
    results = await asyncio.gather(*clients)
    refused = sorted(took_s for one, took_s in results if one.status == 503)
    assert all(one.is_problem for one, _ in results if one.status == 503)
    assert len(refused) == number - TAGS.at_a_time
    # Some more are soon, where connections came while the first had been refused already.
    late = [took_s for took_s in refused if took_s >= FLOOD_S]
    assert 20 <= len(late) <= 100
    assert refused[-1] < FLOOD_S + 0.7


async def test_a_burst_that_is_soon_worked_off_is_not_refused(door: Door) -> None:
    results = await asyncio.gather(*(timed(door.port, TAG) for _ in range(3 * TAGS.at_a_time)))
    assert {answer.status for answer, _ in results} == {204}
