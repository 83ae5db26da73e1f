"""Rules for moving slots, each with a history that fails without it."""

from collections.abc import Callable

import pytest

from tests.simulation.mutants import (
    Mutant,
    every_position_is_ones_own,
    masters_without_slots_not_asked,
    new_masters_know_of_moves,
    readers_believe_every_owner,
    replicas_know_of_moves,
)
from tests.simulation.test_former_failures import asked_for, kill, world
from tests.simulation.world import COOKIES, World

BEN, DAN = 4, 8
"""Slots of two cookies; the second would be the first home of either shard."""


def fill(on: World) -> None:
    """Send some tags and wait for longer than the promise."""
    for number in range(8):
        on.send(COOKIES[number % len(COOKIES)])
    on.loop.pass_time(12.0)


def the_source_dies(target: str = "m1") -> None:
    with world(spare=True) as on:
        fill(on)
        on.begin_move(BEN, target)
        for _ in range(4):
            on.move_key(BEN)
        on.loop.pass_time(0.5)
        kill(on, "m0")
        asked_for(on, 3)
        on.rest()


def the_source_dies_while_a_new_shard_takes_a_slot() -> None:
    the_source_dies("spare")


def the_source_fails_over() -> None:
    with world() as on:
        fill(on)
        on.begin_move(BEN, "m1")
        for _ in range(4):
            on.move_key(BEN)
        on.loop.pass_time(0.5)
        on.promote(on.cluster.nodes["m0r0"])
        asked_for(on, 20)
        on.rest()


def the_target_fails_over(actors_live: bool = True) -> None:
    with world() as on:
        fill(on)
        if not actors_live:
            for name in on.actors:
                on.stop_actor(name)
        on.begin_move(DAN, "m0")
        # The positions of the shard that it leaves.
        on.move_key(DAN)
        on.loop.pass_time(0.5)
        on.cluster.nodes["m0r0"].lagging = True
        on.finish_move(DAN)
        on.loop.pass_time(0.5)
        on.promote(on.cluster.nodes["m0r0"])
        asked_for(on, 8)
        on.rest()


def the_target_fails_over_while_no_actor_lives() -> None:
    the_target_fails_over(actors_live=False)


RULES: list[tuple[Callable[[], None], Mutant]] = [
    (the_source_dies, replicas_know_of_moves),
    (the_source_dies_while_a_new_shard_takes_a_slot, masters_without_slots_not_asked),
    (the_source_fails_over, new_masters_know_of_moves),
    (the_target_fails_over, every_position_is_ones_own),
    (the_target_fails_over_while_no_actor_lives, readers_believe_every_owner),
]


@pytest.mark.parametrize("history", [history for history, _ in RULES])
def test_is_right(history: Callable[[], None]) -> None:
    history()


@pytest.mark.parametrize(("history", "mutant"), RULES)
def test_is_wrong_without_the_rule(history: Callable[[], None], mutant: Mutant) -> None:
    with mutant(), pytest.raises(AssertionError, match="lacks tag"):
        history()
