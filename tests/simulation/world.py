"""The platform in memory: actors, readers, stores, and queries."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import Any

from actors.profiles.redis_shard import RedisShard
from actors.profiles.view import ProfileView
from actors.settings import ActorSettings
from serve_app.core.deadline import Deadline
from serve_app.core.erasure import Erasure, encode_erasure
from serve_app.core.errors import Unavailable
from serve_app.core.names import cookie_slot, view_key
from serve_app.core.position import Owner, ViewPosition, decode_position
from serve_app.core.query import ProfileQuery
from serve_app.core.settings import Settings
from serve_app.core.slots import contains, home_slots, near_homes, ranges_of
from serve_app.core.tag import decode_timed_tag
from serve_app.freshness import PROFILE_PROMISE_S, FreshProfiles
from serve_app.stores import profile_scripts
from serve_app.stores.log_ends import LogEnds
from serve_app.stores.profiles import Placed, Profiles
from tests.simulation.kafka import Ends, Kafka, Reader
from tests.simulation.loop import SimulatedClock, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.oracle import BASE_MS, Erased, Oracle, Sent, body_of
from tests.simulation.patched import SLOTS, time_of
from tests.simulation.redis_cluster import Node, RedisCluster
from tests.simulation.redis_data import Unit

COOKIES = ("ben", "kim", "ada", "dan")
"""Two cookies per shard: one in the slot that holds the positions, one in another."""
ANSWER_S = 1.0
SECOND_LOOK_S = 3.0
REMEMBERED_S = 60.0
"""Seconds for which an actor assumes that a slot from another shard is complete."""
REST_S = 60.0
"""Simulated seconds within which everything must be healthy after all faults have ended."""


ACTORS = ActorSettings(
    view_pipeline_tags=3,
    view_poll_records=7,
    # Twice the default, for half of the work.
    view_interval_s=1.0,
    view_check_interval_s=2.0,
    view_map_interval_s=2.0,
)
STORES = Settings()


class SimulatedEnds(LogEnds):
    """The real sampling code on the log in memory."""

    def __init__(self, ends: Ends, clock: SimulatedClock) -> None:
        super().__init__(STORES, clock)
        self._ends = ends

    async def _run(self) -> None:
        while True:
            try:
                await self._take(self._ends, self._ends)
            except TimeoutError as error:
                self.last_error = repr(error)
            await self._clock.sleep(1.0)


@dataclass(slots=True)
class Parts:
    """Classes used by a world; mutants replace some."""

    view: type[ProfileView] = ProfileView
    shard: type[RedisShard] = RedisShard
    ends: type[SimulatedEnds] = SimulatedEnds
    profiles: type[Profiles] = Profiles
    fresh: type[FreshProfiles] = FreshProfiles


class Web:
    """A replica of case12: takes tags and answers queries."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.shards = world.network.shards(name, timeout_s=0.1, refresh_s=5.0)
        self.ends = world.parts.ends(Ends(world.kafka, name), world.clock)
        self.profiles = world.parts.profiles(self.shards)
        self.fresh = world.parts.fresh(self.profiles, self.ends, clock=world.clock)

    def start(self) -> None:
        self.shards.start()
        self.ends.start()


class World:
    """The state of one history. `close` must be called."""

    def __init__(
        self,
        *,
        shards: int = 2,
        replicas: int = 1,
        spare: bool = False,
        partitions: int = 2,
        actors: int = 1,
        webs: int = 2,
        jitter_s: float = 0.0,
        parts: Parts | None = None,
    ) -> None:
        """``spare``: one more master, without slots."""
        self.loop = SimulatedLoop()
        asyncio.set_event_loop(self.loop)
        self._stack = ExitStack()
        self._stack.enter_context(time_of(self.loop))
        self.parts = parts or Parts()
        self.clock = SimulatedClock(self.loop)
        self.oracle = Oracle()
        self.kafka = Kafka(partitions)
        masters = [f"m{n}" for n in range(shards)]
        owners = [masters[slot * shards // SLOTS] for slot in range(SLOTS)]
        followers = {f"{m}r{n}": m for m in masters for n in range(replicas)}
        self.cluster = RedisCluster(owners, followers, ["spare"] if spare else [])
        self.cluster.on_lost = self._lost
        self.network = Network(self.cluster, self.clock)
        self.network.jitter_s = jitter_s
        self.network.chance = Random(shards * 100 + actors)
        self.kafka.thawed = self.network.thawed
        self.wrong: list[str] = []
        self.may_be_lost = False
        """Whether data may be lost that the log has dropped."""
        self.actors = [f"a{n}p{p}" for n in range(actors) for p in range(partitions)]
        self.views: dict[str, tuple[ProfileView, asyncio.Task[None]]] = {}
        self.webs = [Web(f"w{n}", self) for n in range(webs)]
        self.moving: dict[int, str] = {}
        """Target node by slot."""
        self._lost_s: dict[int, float] = {}
        """When the shard of a slot last lost data."""
        self._moved_s: dict[int, float] = {}
        """When a slot last came to another shard."""
        self._asked = 0
        self._numbers = 0
        self.loop.run(self._start())

    async def _start(self) -> None:
        for web in self.webs:
            web.start()
        for name in self.actors:
            self._start_actor(name)

    def close(self) -> None:
        self.loop.finish()
        asyncio.set_event_loop(None)
        self._stack.close()

    # --- tags and erasures ----------------------------------------------------------------------

    def send(
        self,
        cookie: str,
        *,
        late_ms: int = 0,
        partition: int | None = None,
        web: int = 0,
        quick: bool = True,
        accepted: bool = True,
    ) -> Sent:
        """Append a tag to the log; its event time is the number of tags minus ``late_ms``."""
        self._numbers += 1
        action = "BUY" if self._numbers % 3 == 0 else "VIEW"
        time_ms = BASE_MS + self._numbers * 10 - late_ms
        body = body_of(cookie, action, self._numbers, time_ms)
        number = self._numbers % len(self.kafka.partitions) if partition is None else partition
        now_ms = self.clock.now_ms()
        offset = self.kafka.append(number, body, now_ms)
        sent = Sent(
            self._numbers,
            cookie,
            action,
            time_ms,
            number,
            offset,
            self.loop.time() if accepted else None,
            self.oracle.topic,
        )
        self.oracle.tags.append(sent)
        if quick:
            tag, _ = decode_timed_tag(body)
            placed = Placed(tag, time_ms, number, offset, now_ms)
            self.loop.create_task(self.webs[web].profiles.write([placed]))
        return sent

    def takes_tags(self, web: int) -> bool:
        """Whether the append reaches the log."""
        name = self.webs[web].name
        return self.kafka.reachable(name) and name not in self.network.frozen

    def erase(self, cookie: str, partitions: int | None = None) -> None:
        """Append an erasure to all partitions, or to the first ``partitions``."""
        before = {number: one.end for number, one in enumerate(self.kafka.partitions)}
        erasure = Erasure(cookie, before)
        value, now_ms = encode_erasure(erasure), self.clock.now_ms()
        offsets = {
            number: self.kafka.append(number, value, now_ms, erasure=True)
            for number in list(before)[:partitions]
        }
        done_s = self.loop.time() if len(offsets) == len(before) else None
        self.oracle.erasures.append(Erased(erasure, offsets, done_s, self.oracle.topic))

    def replace_topic(self) -> None:
        """As an operator does: the old topic is worked off, and the positions are forgotten."""
        self.rest()
        self.kafka.replace_topic()
        self.oracle.replace_topic()
        self._in_each_master(profile_scripts.FORGET)

    def drop_log(self, partition: int, keep: int) -> None:
        """Apply retention: the partition keeps its newest ``keep`` records."""
        one = self.kafka.partitions[partition]
        one.begin = max(one.begin, one.end - keep)
        self.oracle.begins[partition] = one.begin
        for node in self.cluster.nodes.values():
            if node.is_master and self._behind(node, partition, one.begin):
                self.may_be_lost = True

    def _behind(self, node: Node, partition: int, begin: int) -> bool:
        for home in self.homes(node)[:1]:
            fields: Any = node.data.values.get(view_key(home)) or {}
            names = [name for name in fields if name.rstrip("+") == str(partition)]
            offsets = [int(fields[name].split(":")[1]) for name in names]
            return min(offsets, default=0) < begin
        return False

    # --- queries --------------------------------------------------------------------------------

    def ask_all(self) -> None:
        """Query every cookie, one web after the other, while time passes."""
        self._asked += 1
        web = self.webs[self._asked % len(self.webs)]
        for cookie in COOKIES:
            self.loop.create_task(self._ask(web, cookie))

    async def _ask(self, web: Web, cookie: str, at_rest: bool = False) -> str:
        """Query a profile; returns why it was refused, or "". Errors are added to `wrong`."""
        asked_s = self.loop.time()
        query = ProfileQuery(cookie, 0, 2**52)
        promised_s = self._promised_s(web, asked_s, at_rest)
        try:
            answer = await web.fresh.answer(query, Deadline.after(ANSWER_S, self.clock))
        except Unavailable as refusal:
            return refusal.detail
        found = self.oracle.problems(promised_s, answer)
        self.wrong += [f"{asked_s:.3f} {web.name}: {one}" for one in found]
        return ""

    def _promised_s(self, web: Web, asked_s: float, at_rest: bool) -> float:
        """Tags accepted before this time must be in an answer.

        For a web that cannot reach the log, the time of its last contact: it knows what it accepted
        itself, but not what others did (`FreshProfiles`).
        """
        if at_rest:
            return asked_s
        newest = web.ends.newest
        return min(asked_s - PROFILE_PROMISE_S, newest.asked_s if newest else 0.0)

    def check(self) -> None:
        """Check that no answer was wrong and no task failed.

        Raises:
            AssertionError: lists the errors.
        """
        assert not self.wrong, self.wrong
        for name, (_, task) in self.views.items():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise AssertionError(f"actor {name} failed") from error

    # --- rest -----------------------------------------------------------------------------------

    def heal(self) -> None:
        """End all faults and finish all moves."""
        self.kafka.cut_off.clear()
        self.kafka.slow.clear()
        self.network.links.clear()
        for name in sorted(self.network.frozen):
            self.thaw(name)
        for node in self.cluster.nodes.values():
            if not node.up:
                self.cluster.restart(node, 0)
            self.cluster.mend(node)
        self.loop.pass_time(0.2)
        for slot in sorted(self.moving):
            self.finish_move(slot)
        for name in self.actors:
            self._start_actor(name)

    def rest(self) -> None:
        """End all faults and wait until every query is answered completely.

        Raises:
            AssertionError: one is not within `REST_S`, or an answer was wrong.
        """
        self.heal()
        # From now on answers hold what was accepted before the faults ended.
        self.loop.pass_time(PROFILE_PROMISE_S)
        until_s = self.loop.time() + REST_S
        while any(refusals := self.refusals()):
            self.check()
            if any("lost more than the log" in one for one in refusals):
                assert self.may_be_lost, refusals
                self.accept_loss()
            assert self.loop.time() < until_s, refusals
            self.loop.pass_time(2.0)
        self.check()
        self.loop.pass_time(SECOND_LOOK_S)
        refusals = self.refusals(at_rest=True)
        self.check()
        assert not any(refusals), refusals

    def refusals(self, cookies: Sequence[str] = COOKIES, *, at_rest: bool = False) -> Sequence[str]:
        """Query every cookie on every web now; returns the refusals."""

        async def ask() -> Sequence[str]:
            asked = (self._ask(web, cookie, at_rest) for web in self.webs for cookie in cookies)
            return await asyncio.gather(*asked)

        answers: Sequence[str] = self.loop.run(ask())
        return answers

    def accept_loss(self) -> None:
        """Accept a loss, as an operator would after the alert."""
        self._in_each_master(profile_scripts.ACCEPT_LOSS)
        self.oracle.accept_loss()

    def _in_each_master(self, script: profile_scripts.Script) -> None:
        """Run a script that takes keys of positions only."""
        for node in self.cluster.nodes.values():
            slots = ranges_of(slot for slot in range(SLOTS) if node.owns(slot))
            if node.is_master and (homes := [view_key(slot) for slot in near_homes(slots)]):
                self.cluster.execute(node, profile_scripts.run(script, homes[0], homes), False)

    # --- actors and clients ---------------------------------------------------------------------

    def _start_actor(self, name: str) -> None:
        if name in self.views:
            return
        partition = int(name.partition("p")[2])
        shards = self.network.shards(
            name,
            timeout_s=ACTORS.view_node_timeout_s,
            refresh_s=ACTORS.view_map_interval_s,
        )
        view = self.parts.view(
            partition,
            shards=shards,
            view_of=lambda shard: self.parts.shard(shard, partition, shards=shards, idle_days=0),
            open_log=lambda: Reader(self.kafka, partition, name),
            clock=self.clock,
            settings=ACTORS,
        )
        self.views[name] = view, self.loop.create_task(view.run(), name=name)

    def start_actor(self, name: str) -> None:
        self._start_actor(name)

    def stop_actor(self, name: str) -> None:
        """Kill it; commands in flight still arrive."""
        if name in self.views:
            _, task = self.views.pop(name)
            task.cancel()

    def freeze(self, client: str) -> None:
        """Stop the process, as SIGSTOP does."""
        self.network.frozen.setdefault(client, asyncio.Event())

    def thaw(self, client: str) -> None:
        if (event := self.network.frozen.pop(client, None)) is not None:
            event.set()

    # --- slots ----------------------------------------------------------------------------------

    def homes(self, node: Node) -> tuple[int, ...]:
        return home_slots(ranges_of(s for s in range(SLOTS) if node.owns(s)))

    def can_lose(self, node: Node) -> bool:
        """Whether each moving slot is still known to another reachable side if this node is lost.

        Known limit: if neither side can tell, no node knows that keys have left.
        """
        for slot in self.moving:
            sides = self.cluster.owner(slot), self._target(slot)
            knowing = [one for one in sides if slot in one.migrating or slot in one.importing]
            asked = [one for one in knowing if one.up and not (one.hung or one.cut_off)]
            if node in knowing and not any(one is not node for one in asked):
                return False
        return True

    def can_promote(self, replica: Node) -> bool:
        """Whether what it does not know is known to another node."""
        master = self.cluster.map.masters[replica.name]
        if not self.can_lose(self.cluster.nodes[master]):
            return False
        for slot in self.moving:
            sides = self.cluster.owner(slot), self._target(slot)
            # Known limit: back to a former master before any actor has written.
            if sides[0].name == master and any(
                one.owner.startswith(f"{replica.name}/") for one in _positions(replica)
            ):
                return False
        return True

    def promote(self, replica: Node) -> None:
        master = self.cluster.map.masters[replica.name]
        for slot in self.moving:
            if self.cluster.owner(slot).name == master:
                # Known limit: a key created again here may replace the one already migrated.
                self._carry_away(slot)
        self.cluster.promote(replica)

    def begin_move(self, slot: int, target: str) -> None:
        if self._lost_s.get(slot, 0.0) > self.loop.time() - REMEMBERED_S:
            self._carry_away(slot)
        self.cluster.begin_move(slot, self.cluster.nodes[target])
        self.moving[slot] = target

    def move_key(self, slot: int) -> None:
        self.cluster.migrate_key(slot, self._target(slot))

    def finish_move(self, slot: int) -> None:
        target = self._target(slot)
        del self.moving[slot]
        owner = self.cluster.owner(slot)
        if target is owner:
            # The other side was drained and is now a replica of this one: cancel the move.
            owner.migrating.pop(slot, None)
        else:
            if self._away_unseen(slot, target):
                for sent in self._tags_of(slot):
                    sent.away_unseen = True
            self.cluster.finish_move(slot, target)
            self._moved_s[slot] = self.loop.time()
        if any(one.begin for one in self.kafka.partitions):
            self.may_be_lost = True

    def _away_unseen(self, slot: int, target: Node) -> bool:
        """Known limit: a slot is back with less in it, and no feed has seen that it was away."""
        if self._lost_s.get(slot, 0.0) < self._moved_s.get(slot, self.loop.time()):
            return False
        owner = Owner(target.name, target.replid, target.second_replid)
        return any(
            owner.wrote(position) and contains(position.slots, slot)
            for position in _positions(target)
        )

    def can_move(self, slot: int) -> bool:
        """Whether both sides can be reached."""
        nodes = self.cluster.owner(slot), self._target(slot)
        return all(node.up and not (node.hung or node.cut_off) for node in nodes)

    def _target(self, slot: int) -> Node:
        """The target, or the master that has replaced it."""
        name = self.moving[slot]
        masters = self.cluster.map.masters
        while name in masters:
            name = masters[name]
        return self.cluster.nodes[name]

    # --- what is lost ---------------------------------------------------------------------------

    def _lost(self, node: Node, units: Sequence[Unit]) -> None:
        # Two fail-overs, or a fail-over and a restart, before any actor has written: the origin of
        # the position is unknown.
        owner = Owner(node.name, node.replid, node.second_replid)
        if units or not all(owner.wrote(position) for position in _positions(node)):
            self.may_be_lost = True
        if units:
            for slot, name in enumerate(self.cluster.map.owners):
                if name == node.name:
                    self._lost_s[slot] = self.loop.time()
                    if slot in self.moving:
                        self._carry_away(slot)
        for unit in units:
            if id(unit) in self.cluster.carried:
                self._carry_away(self.cluster.carried[id(unit)][0])

    def _carry_away(self, slot: int) -> None:
        """Known limit: data lost while a slot moves is restored only as far as the log reaches."""
        for sent in self._tags_of(slot):
            sent.carried_away = True

    def _tags_of(self, slot: int) -> Iterator[Sent]:
        return (sent for sent in self.oracle.tags if cookie_slot(sent.cookie) == slot)


def _positions(node: Node) -> list[ViewPosition]:
    return [
        decode_position(text.encode())
        for key, value in node.data.values.items()
        if key.startswith("view:") and not isinstance(value, str)
        for text in map(str, value.values())
    ]
