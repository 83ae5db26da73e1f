"""Histories that were found by chance or by thought, and were wrong or late without need."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.machine import MovesAndFailovers
from tests.simulation.test_former_failures import asked_for, world
from tests.simulation.test_rules_of_moves import BEN, fill, move
from tests.simulation.world import World


@contextmanager
def old_tags() -> Iterator[MovesAndFailovers]:
    """Two shards with replicas, and tags that only they have; nothing may be called lost."""
    made = MovesAndFailovers()
    made.start(replicas=1, spare=False, partitions=1, actors=1, jitter_s=0.0, old_tags=True)
    try:
        yield made
    finally:
        made.teardown()


def test_a_node_that_is_cut_off_tells_of_the_slots_that_it_knows() -> None:
    with old_tags() as history:
        history.hinder(node=0, what="hung", pause_s=0.0)
        history.wait(pause_s=3.0)
        history.hinder(node=2, what="cut_off", pause_s=0.0)
        history.wait(pause_s=1.0)
        history.promote(replica=0, pause_s=1.2)


def forget_log(on: World) -> None:
    """Retention takes all that there is."""
    for partition in range(len(on.kafka.partitions)):
        on.drop_log(partition, 0)


def test_a_former_master_that_has_not_heard_takes_no_slots_away() -> None:
    with world() as on:
        fill(on)
        forget_log(on)
        former = on.cluster.nodes["m0"]
        former.hung = True
        on.loop.pass_time(3.0)
        on.promote(on.cluster.nodes["m0r0"])
        # It answers as the master of the old map, and the others hear from it again.
        former.hung = False
        asked_for(on, 5)
        on.cluster.mend(former)
        asked_for(on, 5)
        on.rest()


def test_an_old_map_takes_no_slots_away() -> None:
    with world(shards=3, replicas=0) as on:
        fill(on)
        move(on, BEN, "m0")
        on.loop.pass_time(5.0)
        # From here on it tells its clients of the slot as it was.
        on.cluster.nodes["m2"].cut_off = True
        move(on, BEN, "m1")
        on.loop.pass_time(20.0)
        fed = [view.applied for view, _ in on.views.values()]
        asked_for(on, 60)
        # Nothing was fed again from the log's begin.
        assert [view.applied for view, _ in on.views.values()] == fed
        on.rest()
