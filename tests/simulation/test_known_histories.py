"""Histories that were found by chance or by thought, and were wrong or late without need."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from actors.log.ports import Record
from tests.simulation.kafka import Reader
from tests.simulation.machine import MovesAndFailovers
from tests.simulation.test_former_failures import asked_for, world
from tests.simulation.test_rules_of_moves import BEN, HOME, fill, move
from tests.simulation.world import COOKIES, World


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


def slowly_from_far_behind() -> AbstractContextManager[Any]:
    """Readers that are behind get seven records in 15 s: a long log, without its records."""
    fetch = Reader.fetch

    async def slow(self: Reader, max_records: int, timeout_s: float) -> list[Record]:
        if self._at is not None and self._at < self._partition.end - 7:
            await asyncio.sleep(15.0)
        return await fetch(self, max_records, timeout_s)

    return patch.object(Reader, "fetch", slow)


def test_slots_that_wait_for_those_before_them_came_whole_all_the_same() -> None:
    with world(shards=3, replicas=0) as on:
        for number in range(200):
            on.send(COOKIES[number % len(COOKIES)])
        on.loop.pass_time(30.0)
        for partition in range(len(on.kafka.partitions)):
            on.drop_log(partition, 45)
        with slowly_from_far_behind():
            move(on, HOME, "m0")
            on.loop.pass_time(5.0)
            move(on, BEN, "m0")
            on.loop.pass_time(400.0)
        # Nothing was lost in any shard.
        on.may_be_lost = False
        asked_for(on, 5)
        on.rest()
