"""Regressions: four histories that gave wrong answers before profiles had positions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from serve_app.core.names import cookie_slot
from tests.simulation.mutants import answered_without_the_position
from tests.simulation.world import COOKIES, World


@contextmanager
def world(**options: Any) -> Iterator[World]:
    """A world that has run for some seconds; at the end no answer may have been wrong."""
    made = World(**options)
    try:
        made.loop.pass_time(3.0)
        yield made
        made.check()
    finally:
        made.close()


def asked_for(on: World, seconds: float) -> None:
    """Query every profile each second."""
    for _ in range(round(seconds)):
        on.ask_all()
        on.loop.pass_time(1.0)
        on.check()


def kill(on: World, name: str) -> None:
    on.cluster.nodes[name].up = False


def an_old_replica_is_promoted() -> None:
    with world() as on:
        kill(on, "m0r0")
        on.loop.pass_time(30.0)
        for number in range(12):
            on.send(COOKIES[number % 4])
        asked_for(on, 12)
        kill(on, "m0")
        on.cluster.restart(on.cluster.nodes["m0r0"], 0)
        on.cluster.promote(on.cluster.nodes["m0r0"])
        asked_for(on, 20)
        on.rest()


def the_link_of_a_replica_is_broken() -> None:
    with world() as on:
        on.cluster.nodes["m0r0"].lagging = True
        for number in range(12):
            on.send(COOKIES[number % 4])
        asked_for(on, 14)
        kill(on, "m0")
        asked_for(on, 20)
        on.rest()


def redis_hangs_and_then_the_log_is_away() -> None:
    with world(replicas=0) as on:
        on.cluster.nodes["m0"].hung = True
        for number in range(12):
            on.send(COOKIES[number % 4])
        on.loop.pass_time(1.5)
        on.kafka.cut_off |= {*on.actors, *(web.name for web in on.webs)}
        # Commands in flight to the node are lost.
        on.cluster.nodes["m0"].on_resume.clear()
        on.cluster.mend(on.cluster.nodes["m0"])
        asked_for(on, 30)
        on.rest()


HISTORIES = (
    an_old_replica_is_promoted,
    the_link_of_a_replica_is_broken,
    redis_hangs_and_then_the_log_is_away,
)


@pytest.mark.parametrize("history", HISTORIES)
def test_is_right_now(history: Callable[[], None]) -> None:
    history()


@pytest.mark.parametrize("history", HISTORIES)
def test_is_wrong_when_readers_ignore_the_position(history: Callable[[], None]) -> None:
    with answered_without_the_position(), pytest.raises(AssertionError, match="lacks tag"):
        history()


def test_a_shard_that_hangs_refuses_its_own_profiles_only() -> None:
    with world(replicas=0, shards=3) as on:
        hung = on.cluster.nodes["m1"]
        hung.hung = True
        theirs = [cookie for cookie in COOKIES if on.cluster.owner(cookie_slot(cookie)) is hung]
        others = [cookie for cookie in COOKIES if cookie not in theirs]
        for _ in range(20):
            on.send(others[0])
            on.loop.pass_time(1.0)
        assert theirs
        assert all(on.refusals(theirs))
        assert not any(on.refusals(others))
        on.rest()
