"""The network between clients and Redis nodes: lost answers, late commands, cut links."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from random import Random

from serve_app.core.clock import Clock
from serve_app.stores.redis_node import Command, Credentials, NodeUnavailable, RedisNode, Reply
from serve_app.stores.redis_shards import RedisShards
from tests.simulation.redis_cluster import PORT, RedisCluster

LATENCY_S = 0.001
GAP_S = 0.0002
"""Seconds between two commands of a pipeline, so that others can interleave."""
LATE_S = 4.0


class Link(Enum):
    """State of the link from a client to a node."""

    OK = "ok"
    LOST = "requests lost"
    MUTE = "answers lost"
    LATE = "requests late"


class Network:
    """All links of all clients."""

    def __init__(self, cluster: RedisCluster, clock: Clock) -> None:
        self.cluster = cluster
        self.clock = clock
        self.links: dict[tuple[str, str], Link] = {}
        self.frozen: dict[str, asyncio.Event] = {}
        """Stopped clients, each with the event that is set when it resumes."""
        self.jitter_s = 0.0
        self.chance = Random(0)

    def latency_s(self) -> float:
        return LATENCY_S + (self.chance.random() * self.jitter_s if self.jitter_s else 0.0)

    async def thawed(self, client: str) -> None:
        """Return once the client is not stopped."""
        while (event := self.frozen.get(client)) is not None:
            await event.wait()

    def shards(self, client: str, *, timeout_s: float, refresh_s: float) -> RedisShards:
        """A client's view of the cluster map."""
        return _Shards(self, client, timeout_s=timeout_s, refresh_s=refresh_s)


class _Shards(RedisShards):
    def __init__(self, network: Network, client: str, *, timeout_s: float, refresh_s: float):
        seeds = [(name, PORT) for name in network.cluster.nodes]
        super().__init__(seeds, node_timeout_s=timeout_s, refresh_s=refresh_s)
        self._network = network
        self._client = client

    def _node(self, host: str, port: int, node_id: str = "", *, replica: bool = False) -> RedisNode:
        key = (host, port, node_id, replica)
        if key not in self._nodes:
            self._nodes[key] = _Node(self._network, self._client, host, replica)
        return self._nodes[key]


class _Node(RedisNode):
    """A simulated connection. Commands once sent arrive, even if the caller has given up."""

    def __init__(self, network: Network, client: str, host: str, replica: bool) -> None:
        super().__init__(
            host, PORT, credentials=Credentials(), replica=replica, clock=network.clock
        )
        self._network = network
        self._client = client
        self._target = network.cluster.nodes[host]
        self._arrived_s = 0.0

    async def execute(self, commands: Sequence[Command], timeout_s: float) -> list[Reply]:
        network = self._network
        if network.frozen:
            await network.thawed(self._client)
        if self.down or self._retired:
            raise NodeUnavailable(f"Redis node {self.address} is down")
        loop = asyncio.get_running_loop()
        request = _Request(list(commands), loop.create_future(), loop.time() + timeout_s)
        link = network.links.get((self._client, self.host), Link.OK)
        if link is Link.LOST:
            request.give_up(loop)
        else:
            if link is Link.LATE:
                request.give_up(loop)
            arrives_s = loop.time() + network.latency_s() + (LATE_S if link is Link.LATE else 0.0)
            # Commands on one connection stay in order.
            self._arrived_s = max(self._arrived_s + GAP_S, arrives_s)
            loop.call_at(self._arrived_s, self._arrive, loop, request)
        try:
            return await request.answer
        except OSError as error:
            self._break()
            self._arrived_s = 0.0
            raise NodeUnavailable(f"Redis node {self.address}: {error!r}") from error
        finally:
            if network.frozen:
                await network.thawed(self._client)

    def _arrive(self, loop: asyncio.AbstractEventLoop, request: "_Request") -> None:
        target = self._target
        if target.hung:
            request.give_up(loop)
            target.on_resume.append(partial(self._arrive, loop, request))
            return
        if not request.replies:
            request.starts = target.starts
        if not target.up or request.starts != target.starts:
            request.fail(ConnectionResetError("closed by the node"))
            return
        network, commands, replies = self._network, request.commands, request.replies
        replies.append(network.cluster.execute(target, commands[len(replies)], self._replica))
        if len(replies) < len(commands):
            gap_s = GAP_S + network.latency_s() if network.jitter_s else GAP_S
            loop.call_later(gap_s, self._arrive, loop, request)
        elif network.links.get((self._client, self.host)) is Link.MUTE:
            request.give_up(loop)
        elif not request.answer.done():
            request.answer.set_result(replies)


@dataclass(slots=True)
class _Request:
    commands: list[Command]
    answer: asyncio.Future[list[Reply]]
    until_s: float
    starts: int = 0
    """Of the node, when the first command came."""
    replies: list[Reply] = field(default_factory=list)

    def give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail on time-out. A request that is sure to be answered needs no timer."""
        loop.call_at(self.until_s, self.fail, TimeoutError("no answer in time"))

    def fail(self, error: OSError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
