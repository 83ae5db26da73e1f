"""Random histories by hypothesis: which events, in which order, with how much time between them.

Every rule is one event and lets some time pass; after each one all cookies are queried. A failing
history is shrunk and printed as a sequence of calls.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.simulation.network import Link
from tests.simulation.redis_cluster import Node
from tests.simulation.world import COOKIES, Parts, World

pauses = st.sampled_from([0.0, 0.02, 0.3, 1.2, 4.0])
"""Seconds: within a round trip, between two polls, longer than a time-out."""
MOVED = (3, 4, 8, 10, 11)
"""Slots that move: all with keys, and the second home of one shard."""
indexes = st.integers(0, 7)
"""Chooses one of several, modulo their number."""


def happening(**strategies: Any) -> Callable[[Any], Any]:
    """A rule that a machine can disable by `only` and `never`."""

    def make(does: Callable[..., None]) -> Any:
        name = does.__name__

        def allowed(machine: "Histories") -> bool:
            return name not in machine.never and (not machine.only or name in machine.only)

        ruled: Any = rule(**strategies)
        return precondition(allowed)(ruled(does))

    return make


class Histories(RuleBasedStateMachine):
    """One world and its history."""

    parts: ClassVar[Parts] = Parts()
    only: ClassVar[frozenset[str]] = frozenset()
    """Names of the enabled rules; empty for all."""
    never: ClassVar[frozenset[str]] = frozenset({"begin_move", "go_on_moving", "replace_topic"})
    """Names of disabled rules."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @initialize(
        replicas=st.integers(0, 1),
        spare=st.booleans(),
        partitions=st.sampled_from([1, 1, 2, 3]),
        actors=st.sampled_from([1, 1, 2]),
        jitter_s=st.sampled_from([0.0, 0.05]),
        old_tags=st.booleans(),
    )
    def start(self, old_tags: bool, **options: Any) -> None:
        """``old_tags``: begin with tags that are in the profiles and no longer in the log."""
        self.world = World(parts=self.parts, **options)
        self.world.loop.pass_time(2.0)
        if old_tags:
            for number in range(6):
                self.world.send(COOKIES[number % len(COOKIES)])
            self.world.loop.pass_time(4.0)
            for partition in range(len(self.world.kafka.partitions)):
                self.world.drop_log(partition, 0)

    @property
    def on(self) -> World:
        assert self.world is not None
        return self.world

    # --- what clients do ------------------------------------------------------------------------

    @happening(
        cookie=st.sampled_from(COOKIES),
        partition=indexes,
        late_ms=st.sampled_from([0, 25, 1000]),
        web=indexes,
        quick=st.booleans(),
        accepted=st.booleans(),
        pause_s=pauses,
    )
    def send(
        self,
        cookie: str,
        partition: int,
        late_ms: int,
        web: int,
        quick: bool,
        accepted: bool,
        pause_s: float,
    ) -> None:
        world = self.on
        partition %= len(world.kafka.partitions)
        web %= len(world.webs)
        if not world.takes_tags(web):
            return
        world.send(
            cookie, partition=partition, late_ms=late_ms, web=web, quick=quick, accepted=accepted
        )
        world.loop.pass_time(pause_s)

    @happening(count=st.integers(2, 9), web=indexes, quick=st.booleans(), pause_s=pauses)
    def send_many(self, count: int, web: int, quick: bool, pause_s: float) -> None:
        web %= len(self.on.webs)
        if not self.on.takes_tags(web):
            return
        for number in range(count):
            self.on.send(COOKIES[number % len(COOKIES)], web=web, quick=quick)
        self.on.loop.pass_time(pause_s)

    @happening(cookie=st.sampled_from(COOKIES), partitions=st.none() | st.just(1), pause_s=pauses)
    def erase(self, cookie: str, partitions: int | None, pause_s: float) -> None:
        self.on.erase(cookie, partitions)
        self.on.loop.pass_time(pause_s)

    @happening(pause_s=st.sampled_from([1.0, 5.0, 12.0]))
    def wait(self, pause_s: float) -> None:
        self.on.loop.pass_time(pause_s)

    # --- Redis fails ----------------------------------------------------------------------------

    def node(self, index: int) -> Node:
        nodes = sorted(self.on.cluster.nodes)
        return self.on.cluster.nodes[nodes[index % len(nodes)]]

    @happening(node=indexes, pause_s=pauses)
    def kill(self, node: int, pause_s: float) -> None:
        victim = self.node(node)
        if not victim.up or not self.on.can_lose(victim):
            return
        victim.up = victim.hung = False
        self.on.loop.pass_time(pause_s)

    @happening(node=indexes, lost_units=st.sampled_from([0, 1, 2, 5, 1000]), pause_s=pauses)
    def restart(self, node: int, lost_units: int, pause_s: float) -> None:
        victim = self.node(node)
        self.on.cluster.restart(victim, lost_units)
        self.on.loop.pass_time(pause_s)

    @happening(node=indexes, what=st.sampled_from(["hung", "cut_off", "lagging"]), pause_s=pauses)
    def hinder(self, node: int, what: str, pause_s: float) -> None:
        victim = self.node(node)
        if not (victim.up and not getattr(victim, what)) or not self.on.can_lose(victim):
            return
        setattr(victim, what, True)
        self.on.loop.pass_time(pause_s)

    @happening(node=indexes, pause_s=pauses)
    def mend(self, node: int, pause_s: float) -> None:
        victim = self.node(node)
        if not (victim.hung or victim.cut_off or victim.lagging):
            return
        self.on.cluster.mend(victim)
        self.on.loop.pass_time(pause_s)

    @happening(replica=indexes, pause_s=pauses)
    def promote(self, replica: int, pause_s: float) -> None:
        world = self.on
        nodes = [world.cluster.nodes[name] for name in sorted(world.cluster.map.masters)]
        able = [node for node in nodes if _reachable(node) and world.can_promote(node)]
        if not able:
            return
        world.promote(able[replica % len(able)])
        self.on.loop.pass_time(pause_s)

    # --- the network, the log and the processes fail --------------------------------------------

    def client(self, index: int) -> str:
        clients = [*self.on.actors, *(web.name for web in self.on.webs)]
        return clients[index % len(clients)]

    @happening(client=indexes, node=indexes, link=st.sampled_from(Link), pause_s=pauses)
    def link(self, client: int, node: int, link: Link, pause_s: float) -> None:
        self.on.network.links[self.client(client), self.node(node).name] = link
        self.on.loop.pass_time(pause_s)

    @happening(client=indexes, pause_s=pauses)
    def lose_log(self, client: int, pause_s: float) -> None:
        self.on.kafka.cut_off ^= {self.client(client)}
        self.on.loop.pass_time(pause_s)

    @happening(web=indexes, pause_s=pauses)
    def slow_log(self, web: int, pause_s: float) -> None:
        webs = self.on.webs
        self.on.kafka.slow ^= {webs[web % len(webs)].name}
        self.on.loop.pass_time(pause_s)

    @happening(client=indexes, pause_s=pauses)
    def freeze(self, client: int, pause_s: float) -> None:
        name = self.client(client)
        if name in self.on.network.frozen:
            self.on.thaw(name)
        else:
            self.on.freeze(name)
        self.on.loop.pass_time(pause_s)

    @happening(actor=indexes, pause_s=pauses)
    def restart_actor(self, actor: int, pause_s: float) -> None:
        name = self.on.actors[actor % len(self.on.actors)]
        if name in self.on.views:
            self.on.stop_actor(name)
        else:
            self.on.start_actor(name)
        self.on.loop.pass_time(pause_s)

    @happening(partition=indexes, keep=st.sampled_from([0, 1, 4]))
    def drop_log(self, partition: int, keep: int) -> None:
        self.on.drop_log(partition % len(self.on.kafka.partitions), keep)

    @happening()
    def replace_topic(self) -> None:
        self.on.replace_topic()

    # --- slots move -----------------------------------------------------------------------------

    @happening(slot=st.sampled_from(MOVED), to=indexes, keys=st.integers(0, 4), pause_s=pauses)
    def begin_move(self, slot: int, to: int, keys: int, pause_s: float) -> None:
        world = self.on
        masters = [n for n in sorted(world.cluster.nodes) if n not in world.cluster.map.masters]
        name = masters[to % len(masters)]
        source = world.cluster.owner(slot)
        if not (name != source.name and slot not in world.moving):
            return
        if not (_reachable(source) and _reachable(world.cluster.nodes[name])):
            return
        world.begin_move(slot, name)
        for _ in range(keys):
            world.loop.pass_time(0.01)
            world.move_key(slot)
        world.loop.pass_time(pause_s)

    @happening(index=indexes, whole=st.booleans(), pause_s=pauses)
    def go_on_moving(self, index: int, whole: bool, pause_s: float) -> None:
        world = self.on
        able = [slot for slot in sorted(world.moving) if world.can_move(slot)]
        if not able:
            return
        slot = able[index % len(able)]
        if whole:
            world.finish_move(slot)
        else:
            world.move_key(slot)
        world.loop.pass_time(pause_s)

    # --- what must hold -------------------------------------------------------------------------

    @happening()
    def rest(self) -> None:
        self.on.rest()

    @invariant()
    def nothing_is_wrong(self) -> None:
        if self.world is not None:
            self.world.ask_all()
            self.world.check()

    def teardown(self) -> None:
        if self.world is not None:
            try:
                self.world.rest()
            finally:
                self.world.close()


class MovingHistories(Histories):
    """With slots that move between shards; log retention is longer than a move."""

    never = frozenset({"drop_log", "replace_topic"})


class MovesAndFailovers(Histories):
    """Mostly moving slots and failing nodes, so that they coincide."""

    never = frozenset()
    only = frozenset(
        {"send_many", "wait", "begin_move", "go_on_moving", "promote", "hinder", "kill", "restart"}
    )


def _reachable(node: Node) -> bool:
    return node.up and not (node.hung or node.cut_off)
