"""Mutants: each removes one rule of the design, which the simulation must detect.

A mutant is a context manager in which the rule does not hold.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from aiokafka import TopicPartition

from actors.profiles.lane import Lane
from actors.profiles.ports import LoggedTag
from actors.profiles.redis_shard import RedisShard
from serve_app import freshness
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.position import Owner, Reached, ViewPosition, decode_fields, reached_by_slot
from serve_app.core.slots import HOMES, Ranges, ranges_of, slots_of
from serve_app.stores import profile_scripts
from serve_app.stores.log_ends import Sample
from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, Shard
from tests.simulation import scripts
from tests.simulation.redis_cluster import Node, RedisCluster
from tests.simulation.redis_data import Unit
from tests.simulation.scripts import Argument, Transaction
from tests.simulation.world import SimulatedEnds

Mutant = Callable[[], AbstractContextManager[Any]]


def _script(
    script: profile_scripts.Script, does: Callable[..., Any]
) -> AbstractContextManager[Any]:
    return patch.dict(scripts.BY_SHA1, {script.sha1: does})


def moved_without_compare() -> AbstractContextManager[Any]:
    def move(on: Transaction, home: str, arguments: Sequence[Argument]) -> list[Any]:
        second, field, _, new, *rest = arguments
        stored = (on.get(home) or {}).get(scripts.text(field), "")
        return scripts.move(on, home, [second, field, stored, new, *rest])

    return _script(profile_scripts.MOVE, move)


def replicated_before_its_tags() -> AbstractContextManager[Any]:
    whole = RedisCluster.write

    def write(self: RedisCluster, node: Node, unit: Unit) -> None:
        views = {key: value for key, value in unit.items() if key.startswith("view:")}
        rest = {key: value for key, value in unit.items() if key not in views}
        for part in filter(None, (views, rest)):
            whole(self, node, part)

    return patch.object(RedisCluster, "write", write)


def moved_before_its_tags() -> AbstractContextManager[Any]:
    whole = RedisShard.move

    async def move(
        self: RedisShard,
        field: str,
        old: ViewPosition | None,
        new: ViewPosition,
        tags: Sequence[LoggedTag] = (),
        **options: Any,
    ) -> frozenset[int]:
        await whole(self, field, old, new, (), **options)
        if not tags:
            return frozenset()
        return await whole(self, field, new, new, tags)

    return patch.object(RedisShard, "move", move)


def every_position_is_ones_own() -> AbstractContextManager[Any]:
    return patch.object(Owner, "wrote", lambda self, position: True)


def readers_believe_every_owner() -> AbstractContextManager[Any]:
    return patch(
        "serve_app.stores.profiles.own_copies", lambda homes, owners: [*map(decode_fields, homes)]
    )


def the_first_home_is_believed() -> AbstractContextManager[Any]:
    """When the homes hold different positions."""

    def believing(copies: Iterable[Mapping[str, ViewPosition]]) -> Mapping[str, ViewPosition]:
        return next(filter(None, copies), {})

    with ExitStack() as stack:
        for name in ("serve_app.stores.profiles.agreed", "actors.profiles.lane.agreed"):
            stack.enter_context(patch(name, believing))
        return stack.pop_all()


def copies_stay_where_slots_arrive() -> AbstractContextManager[Any]:
    async def clear(self: RedisShard, slots: Ranges) -> None:
        pass

    with ExitStack() as stack:
        stack.enter_context(patch.object(RedisShard, "clear", clear))
        # With so few slots, each is near the homes.
        stack.enter_context(patch.object(Shard, "near_homes", Shard.homes))
        return stack.pop_all()


def arrivals_believed_at_once() -> AbstractContextManager[Any]:
    async def welcome(self: Lane) -> None:
        old = self._position
        new = replace(old, slots=ranges_of(slots_of(self._shard.owned)))
        await self._shard.move(self._field, old, new)
        self._speak_of(slots_of(new.slots))
        self._settle(new)

    return patch.object(Lane, "_welcome", welcome)


def erased_without_moving_back() -> AbstractContextManager[Any]:
    def erase(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
        return scripts.erase(on, home, arguments[:4])

    return _script(profile_scripts.ERASE, erase)


def erased_with_the_homes_moved_back_alone() -> AbstractContextManager[Any]:
    def erase(on: Transaction, home: str, arguments: Sequence[Argument]) -> int:
        return scripts.erase(on, home, arguments[: 4 + HOMES])

    return _script(profile_scripts.ERASE, erase)


def marks_ignored() -> AbstractContextManager[Any]:
    return patch.object(scripts, "covered", lambda mark, place, topic: False)


def marks_count_in_every_topic() -> AbstractContextManager[Any]:
    covered = scripts.covered
    return patch.object(scripts, "covered", lambda mark, place, _: covered(mark, place, None))


def erased_once_for_all_topics() -> AbstractContextManager[Any]:
    def erased_in(mark: str | None, topic: str) -> dict[str, int]:
        return {} if mark is None else scripts.parse_mark(mark)[1]

    return patch.object(scripts, "erased_in", erased_in)


def answered_without_the_position() -> AbstractContextManager[Any]:
    return patch.object(freshness, "shortfall", lambda view, sample, reached: "")


def answered_with_what_is_lost() -> AbstractContextManager[Any]:
    def believing(positions: Any, slot: int, shard: str) -> Reached:
        return replace(reached_by_slot(positions, slot, shard), lost="")

    return patch("serve_app.stores.profiles.reached_by_slot", believing)


def position_read_last() -> AbstractContextManager[Any]:
    first = RedisShards.on_any

    async def on_any(
        self: RedisShards, shard: Shard, commands: Sequence[Command]
    ) -> tuple[bool, list[Reply]]:
        by_master, replies = await first(self, shard, commands[::-1])
        return by_master, replies[::-1]

    return patch.object(RedisShards, "on_any", on_any)


def replicas_know_of_moves() -> AbstractContextManager[Any]:
    async def check_settled(self: RedisShards, shard: Shard, slot: int) -> None:
        pass

    return patch.object(RedisShards, "check_settled", check_settled)


def new_masters_know_of_moves() -> AbstractContextManager[Any]:
    async def taken(self: RedisShard, former: str = "") -> frozenset[int]:
        return frozenset()

    return patch.object(RedisShard, "taken", taken)


def masters_without_slots_not_asked() -> AbstractContextManager[Any]:
    return patch("serve_app.stores.redis_shards._masters", lambda nodes: set())


def sampled_after_the_answer() -> AbstractContextManager[Any]:
    async def take(self: SimulatedEnds, consumer: Any, client: Any) -> None:
        numbers = consumer.partitions_for_topic(USER_TAGS_TOPIC)
        partitions = [TopicPartition(USER_TAGS_TOPIC, number) for number in numbers]
        async with asyncio.timeout(5.0):
            ends = await consumer.end_offsets(partitions)
        found = {tp.partition: ends[tp] for tp in ends}
        await self.add(Sample(self._clock.monotonic(), client.topic_id, found))

    return patch.object(SimulatedEnds, "_take", take)


def samples_of_half_a_minute_ago() -> AbstractContextManager[Any]:
    promised_s = freshness.Freshness.promised_s
    return patch.object(freshness.Freshness, "promised_s", lambda self: promised_s(self) - 20.0)


TAGS: Final = frozenset({"send_many", "wait"})
STALLS: Final = TAGS | {"freeze", "lose_log", "restart_actor"}

MUTANTS: Final[Sequence[tuple[Mutant, frozenset[str]]]] = (
    (moved_without_compare, TAGS | {"restart"}),
    (replicated_before_its_tags, TAGS | {"restart"}),
    (moved_before_its_tags, TAGS | {"restart", "restart_actor"}),
    (arrivals_believed_at_once, TAGS | {"begin_move", "go_on_moving", "freeze"}),
    (erased_without_moving_back, TAGS | {"erase", "freeze"}),
    (marks_ignored, TAGS | {"erase"}),
    (marks_count_in_every_topic, TAGS | {"erase", "replace_topic"}),
    (erased_once_for_all_topics, TAGS | {"erase", "replace_topic"}),
    (answered_without_the_position, STALLS),
    (answered_with_what_is_lost, TAGS | {"restart", "drop_log"}),
    (position_read_last, TAGS | {"freeze"}),
    (sampled_after_the_answer, STALLS | {"slow_log"}),
    (samples_of_half_a_minute_ago, STALLS),
)
"""Each mutant with the rules of `machine` that reveal it soonest."""
