"""Admission: refuses a share while the thread never rests, and at no other time."""

import asyncio
import dataclasses
import time

import pytest

from serve_app.admission import LEAST, PATIENCE_S, WINDOW_S, Admission
from serve_app.http.front import OVERLOADED, Front
from tests.fakes.clock import FakeClock
from tests.fakes.http import BODY, Client

CAPACITY = 500.0
"""Requests a second that the thread below answers without a pause."""
REFUSAL = 0.1
"""What a refusal costs, to an answer."""


class Thread:
    """A thread that is as busy as the test says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ran_s = 0.0
        self.waited_s = 0.0
        self.admission = Admission(clock=self.clock, times_s=lambda: (self.ran_s, self.waited_s))
        self.admission.under_way = 100
        self.admission.look()

    def run(
        self,
        seconds: float,
        busy: float,
        window_s: float = WINDOW_S,
        waiting: float = 0.5,
        took_s: tuple[float, ...] = (),
    ) -> None:
        """Let time pass; ``busy`` is the share of it in which the thread does not rest.

        Of that it waits for a processor for the share ``waiting``; ``took_s`` are the answers of
        each window.
        """
        for _ in range(round(seconds / window_s)):
            self.clock.advance(window_s)
            self.ran_s += busy * window_s * (1 - waiting)
            self.waited_s += busy * window_s * waiting
            for one_s in took_s:
                self.admission.answered(one_s)
            self.admission.look()

    def admitted(self, requests: int = 1_000) -> float:
        """The share of so many requests that is admitted now."""
        return sum(self.admission.admits() for _ in range(requests)) / requests

    def serve(self, rate: float, seconds: float) -> float:
        """Take ``rate`` requests a second for so long; how many a second were answered."""
        answered = 0
        for _ in range(round(seconds / WINDOW_S)):
            requests = round(rate * WINDOW_S)
            admitted = sum(self.admission.admits() for _ in range(requests))
            answered += admitted
            work = admitted + REFUSAL * (requests - admitted)
            self.run(WINDOW_S, min(1.0, work / (CAPACITY * WINDOW_S)))
        return answered / seconds


def set_limits(thread: Thread, **limits: float) -> None:
    thread.admission.limits = dataclasses.replace(thread.admission.limits, **limits)  # type: ignore[arg-type]


def test_a_thread_that_rests_admits_everything() -> None:
    thread = Thread()
    thread.run(5, busy=0.85)
    assert thread.admitted(10_000) == 1


def test_a_short_pause_is_no_overload() -> None:
    thread = Thread()
    for _ in range(20):
        thread.run(PATIENCE_S - WINDOW_S, busy=1)
        thread.run(PATIENCE_S / 4, busy=0.5)
        assert thread.admitted() == 1


def test_a_thread_that_others_keep_from_the_processor_refuses_nothing() -> None:
    thread = Thread()
    thread.run(60, busy=1, waiting=0.96)
    assert thread.admitted(10_000) == 1


def test_a_thread_that_answers_soon_refuses_nothing_however_busy() -> None:
    thread = Thread()
    target_s = thread.admission.limits.target_s
    thread.run(60, busy=1, took_s=(target_s / 2, target_s, 1.5 * target_s))
    assert thread.admitted(10_000) == 1


def test_answers_that_take_long_on_average_are_too_much_to_do() -> None:
    thread = Thread()
    target_s = thread.admission.limits.target_s
    long = (target_s / 2, target_s, 1.6 * target_s)
    thread.run(PATIENCE_S - WINDOW_S, busy=1, took_s=long)
    assert thread.admitted() == 1
    thread.run(WINDOW_S, busy=1, took_s=long)
    assert thread.admitted() < 1
    thread.run(2, busy=1, took_s=(target_s,))
    assert thread.admitted() == 1


def test_a_target_of_0_lets_the_thread_decide_alone() -> None:
    thread = Thread()
    set_limits(thread, target_s=0)
    thread.run(PATIENCE_S - WINDOW_S, busy=1, took_s=(0.0,))
    assert thread.admitted() == 1
    thread.run(WINDOW_S, busy=1, took_s=(0.0,))
    assert thread.admitted() < 1


@pytest.mark.parametrize(("one_s", "others_s", "soon"), [(600, 0.05, True), (-600, 0.12, False)])
def test_one_strange_wait_among_many_decides_nothing(
    one_s: float, others_s: float, soon: bool
) -> None:
    thread = Thread()
    thread.run(PATIENCE_S, busy=1, took_s=(one_s, *[others_s] * 30))
    assert (thread.admitted() == 1) == soon


def test_answers_of_one_window_say_nothing_of_the_next() -> None:
    thread = Thread()
    thread.run(WINDOW_S, busy=1, took_s=(0.001,) * 1_000)
    thread.run(PATIENCE_S, busy=1)
    assert thread.admitted() < 1


def test_long_answers_of_a_thread_that_rests_are_a_stores() -> None:
    thread = Thread()
    thread.run(60, busy=0.5, took_s=(5.0,))
    assert thread.admitted(10_000) == 1


def test_clients_that_wait_for_each_answer_are_not_refused() -> None:
    thread = Thread()
    thread.admission.under_way = thread.admission.limits.min_under_way - 1
    thread.run(60, busy=1)
    assert thread.admitted(10_000) == 1


def test_the_longer_it_never_rests_the_less_is_admitted_but_always_some() -> None:
    thread = Thread()
    thread.run(PATIENCE_S, busy=1)
    first = thread.admitted()
    assert first < 1
    thread.run(0.3, busy=1)
    assert thread.admitted() < first
    thread.run(10, busy=1)
    assert thread.admitted(10_000) == pytest.approx(LEAST, abs=0.001)


def test_a_loop_that_comes_late_counts_for_all_the_time_that_it_missed() -> None:
    slow, steady = Thread(), Thread()
    slow.run(1, busy=1, window_s=0.5)
    steady.run(1, busy=1)
    assert slow.admission.share <= steady.admission.share


def test_with_rest_all_is_admitted_again_within_seconds() -> None:
    thread = Thread()
    thread.run(10, busy=1)
    thread.run(2, busy=0.3)
    assert thread.admitted() == 1


@pytest.mark.parametrize("load", [1.5, 2, 3])
def test_at_overload_most_of_the_capacity_is_answered(load: float) -> None:
    thread = Thread()
    thread.serve(load * CAPACITY, 3)
    answered = thread.serve(load * CAPACITY, 10)
    spent_on_refusals = REFUSAL * (load * CAPACITY - answered)
    assert answered > 0.6 * (CAPACITY - spent_on_refusals)
    assert answered + spent_on_refusals <= CAPACITY * 1.01


@pytest.mark.parametrize("load", [0.9, 1.1, 1.5, 2, 3])
def test_a_queue_that_is_seen_stays_short_and_the_thread_busy(load: float) -> None:
    thread, queued, answered, waits_s = Thread(), 0.0, 0.0, []
    # No HAProxy that lets requests wait.
    set_limits(thread, target_s=0.05)
    for _ in range(200):
        requests = round(load * CAPACITY * WINDOW_S)
        admitted = sum(thread.admission.admits() for _ in range(requests))
        can = CAPACITY * WINDOW_S - REFUSAL * (requests - admitted)
        queued += admitted
        done = min(queued, can)
        queued -= done
        answered += done
        waits_s.append(0.01 + queued / CAPACITY)
        busy = min(1.0, (done + REFUSAL * (requests - admitted)) / (CAPACITY * WINDOW_S))
        thread.run(WINDOW_S, busy, took_s=(waits_s[-1],))
    # What came before the rule acted is through after three seconds; 0.2 s is the time-out.
    assert max(waits_s[30:]) < 0.2
    refused = load * CAPACITY * 20 - answered - queued
    assert answered + REFUSAL * refused > 0.85 * min(load, 1) * CAPACITY * 20


def test_refused_ones_are_spread_evenly() -> None:
    thread = Thread()
    thread.admission.share = 0.5
    pattern = [thread.admission.admits() for _ in range(100)]
    assert pattern[::2] == [pattern[0]] * 50
    assert pattern[1::2] == [pattern[1]] * 50
    assert thread.admission.refused == 50


async def test_the_real_thread_is_busy_when_it_computes_and_not_when_it_waits() -> None:
    admission = Admission()
    admission.under_way = 100
    admission.start()
    try:
        await asyncio.sleep(4 * WINDOW_S)
        assert admission.share == 1
        end_s = time.monotonic() + 4 * PATIENCE_S
        while time.monotonic() < end_s:  # noqa: ASYNC110 - to be busy is the point
            await asyncio.sleep(0)
        assert admission.share < 1
    finally:
        admission.stop()
    assert admission.share == 1


class OverloadedClient(Client):
    """The application behind a front that admits a share."""

    def __init__(self, share: float) -> None:
        super().__init__()
        admission = Thread().admission
        admission.share = share
        self.app = Front(self.app, admission)  # type: ignore[assignment]


@pytest.mark.parametrize("path", ["/user_tags", "/user_profiles/me?time_range=1_2"])
async def test_too_much_is_a_503_with_retry_after_and_goes_no_further(path: str) -> None:
    client = OverloadedClient(share=0)
    answer = await client.request("POST", path, [BODY[:10], BODY[10:]])
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"] == OVERLOADED
    assert answer.unread == 0
    assert not client.ingest.accepted
    assert not client.profiles.queries


async def test_a_client_that_went_away_gets_nothing() -> None:
    client = OverloadedClient(share=0)
    assert (await client.request("POST", "/user_tags", [BODY], gone_after=0)).status == 0


async def test_aggregates_and_other_paths_are_never_refused() -> None:
    client = OverloadedClient(share=0)
    assert (await client.request("GET", "/health")).status == 200
    target = (
        "/aggregates?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
        "&action=VIEW&aggregates=COUNT"
    )
    assert (await client.request("POST", target)).status == 200


async def test_what_is_admitted_is_not_watched_for_its_client() -> None:
    client = OverloadedClient(share=1)
    seen = []
    inner = client.app._app  # type: ignore[attr-defined]

    async def look(scope, receive, send):  # type: ignore[no-untyped-def]
        seen.extend(scope["headers"])
        await inner(scope, receive, send)

    client.app._app = look  # type: ignore[attr-defined]
    answer = await client.request("POST", "/user_tags", [BODY], headers=[(b"x-mine", b"1")])
    assert answer.status == 204
    assert seen == [(b"x-mine", b"1"), (b"x-request-disconnect-disabled", b"?1")]


async def test_a_request_is_under_way_from_its_whole_body_until_it_is_answered() -> None:
    client = OverloadedClient(share=1)
    admission = client.app._admission  # type: ignore[attr-defined]
    admission.under_way = 0
    seen = []

    async def look(scope, receive, send):  # type: ignore[no-untyped-def]
        for _ in range(3):
            seen.append(admission.under_way)
            await receive()
        seen.append(admission.under_way)

    client.app._app = look  # type: ignore[attr-defined]
    await client.request("POST", "/user_tags", [BODY[:10], BODY[10:]])
    assert seen == [0, 0, 1, 1]
    assert admission.under_way == 0
    # One that goes away in mid-body never was.
    seen.clear()
    await client.request("POST", "/user_tags", [BODY[:10], BODY[10:]], gone_after=1)
    assert seen == [0, 0, 0, 0]
    assert admission.under_way == 0


@pytest.mark.parametrize(
    ("headers", "took_s"),
    [
        ([(b"x-request-start", b"t=%d")], 0.25),
        ([(b"x-request-start", b"%d"), (b"x-more", b"1")], 0.25),
        ([(b"x-request-start", b"t=1"), (b"x-request-start", b"t=%d")], 0.25),
        ([(b"x-request-start", b"t=soon")], None),
        ([(b"x-request-start", b"")], None),
        ([(b"x-request-start", b"9" * 400)], None),
        ([], None),
    ],
)
async def test_what_the_client_waited_counts_from_the_ingress(
    headers: list[tuple[bytes, bytes]], took_s: float | None
) -> None:
    client = OverloadedClient(share=1)
    admission = client.app._admission  # type: ignore[attr-defined]
    took: list[float] = []
    admission.answered = took.append
    started_us = int((time.time() - 0.25) * 1e6)
    sent = [(name, value % started_us if b"%d" in value else value) for name, value in headers]
    assert (await client.request("POST", "/user_tags", [BODY], headers=sent)).status == 204
    assert took == ([] if took_s is None else [pytest.approx(took_s, abs=0.2)])
