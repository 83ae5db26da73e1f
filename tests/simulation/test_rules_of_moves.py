"""Rules for moving slots, each with a history that fails without it."""

from collections.abc import Callable

import pytest

from tests.simulation.mutants import (
    Mutant,
    copies_stay_where_slots_arrive,
    erased_with_the_homes_moved_back_alone,
    every_position_is_ones_own,
    masters_without_slots_not_asked,
    new_masters_know_of_moves,
    readers_believe_every_owner,
    replicas_know_of_moves,
    the_first_home_is_believed,
)
from tests.simulation.network import Link
from tests.simulation.test_former_failures import asked_for, kill, world
from tests.simulation.world import COOKIES, World

BEN, DAN = 4, 8
"""Slots of two cookies; the second would be the first home of either shard."""
HOME = 6
"""The first home of the second of three shards, which has BEN's slot, too."""


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


def stop_actors(on: World) -> None:
    for name in on.actors:
        on.stop_actor(name)


def the_target_was_emptied_and_fails_over() -> None:
    with world() as on:
        fill(on)
        stop_actors(on)
        on.cluster.restart(on.cluster.nodes["m0"], 1000)
        on.begin_move(DAN, "m0")
        # The positions of the shard that it leaves.
        on.move_key(DAN)
        on.loop.pass_time(0.5)
        on.cluster.nodes["m0r0"].lagging = True
        on.finish_move(DAN)
        on.loop.pass_time(0.5)
        on.promote(on.cluster.nodes["m0r0"])
        asked_for(on, 8)
        for name in on.actors:
            on.start_actor(name)
        asked_for(on, 8)
        on.rest()


def move(on: World, slot: int, target: str) -> None:
    """Move a whole slot at once."""
    on.begin_move(slot, target)
    on.finish_move(slot)


def a_home_comes_back_to_an_older_file() -> None:
    with world(shards=3, replicas=0) as on:
        fill(on)
        move(on, HOME, "m2")
        on.loop.pass_time(5.0)
        stop_actors(on)
        on.cluster.restart(on.cluster.nodes["m1"], 1000)
        move(on, HOME, "m1")
        asked_for(on, 8)
        on.rest()


def a_home_comes_back_before_a_slot_that_lost_its_tags() -> None:
    with world(shards=3, replicas=0) as on:
        fill(on)
        move(on, HOME, "m2")
        move(on, BEN, "m0")
        on.loop.pass_time(5.0)
        stop_actors(on)
        on.cluster.restart(on.cluster.nodes["m0"], 1000)
        move(on, BEN, "m1")
        move(on, HOME, "m1")
        asked_for(on, 8)
        on.rest()


def a_home_comes_back_to_an_older_copy() -> None:
    with world(shards=3) as on:
        fill(on)
        on.cluster.nodes["m1r0"].lagging = True
        fill(on)
        # The other shard's feeds do not see what arrives.
        for name in on.actors:
            on.network.links[name, "m2"] = Link.LOST
        move(on, HOME, "m2")
        on.loop.pass_time(5.0)
        stop_actors(on)
        on.promote(on.cluster.nodes["m1r0"])
        move(on, HOME, "m1r0")
        asked_for(on, 8)
        on.rest()


def an_erasure_meets_positions_that_are_not_in_the_new_homes_yet() -> None:
    with world(shards=3) as on:
        fill(on)
        first, second = on.actors
        on.kafka.cut_off.add(first)
        on.erase("ben", 1)
        # Of its new life, and applied before the erasure.
        on.send("ben", partition=1)
        on.loop.pass_time(3.0)
        on.freeze(second)
        for home in (DAN, 11):
            move(on, home, "m1")
        on.loop.pass_time(5.0)
        on.kafka.cut_off.clear()
        on.loop.pass_time(5.0)
        on.thaw(second)
        asked_for(on, 15)
        on.rest()


RULES: list[tuple[Callable[[], None], Mutant]] = [
    (the_source_dies, replicas_know_of_moves),
    (the_source_dies_while_a_new_shard_takes_a_slot, masters_without_slots_not_asked),
    (the_source_fails_over, new_masters_know_of_moves),
    (the_target_was_emptied_and_fails_over, readers_believe_every_owner),
    (the_target_was_emptied_and_fails_over, every_position_is_ones_own),
    (a_home_comes_back_to_an_older_file, copies_stay_where_slots_arrive),
    (a_home_comes_back_before_a_slot_that_lost_its_tags, copies_stay_where_slots_arrive),
    (a_home_comes_back_to_an_older_copy, the_first_home_is_believed),
    (
        an_erasure_meets_positions_that_are_not_in_the_new_homes_yet,
        erased_with_the_homes_moved_back_alone,
    ),
]


@pytest.mark.parametrize("history", dict.fromkeys(history for history, _ in RULES))
def test_is_right(history: Callable[[], None]) -> None:
    history()


@pytest.mark.parametrize(("history", "mutant"), RULES)
def test_is_wrong_without_the_rule(history: Callable[[], None], mutant: Mutant) -> None:
    with mutant(), pytest.raises(AssertionError, match="lacks tag"):
        history()
