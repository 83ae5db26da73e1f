"""Between clients and Redis nodes: answers that never come, commands that come late, cut cables."""

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum
from random import Random

from serve_app.core.clock import Clock
from serve_app.stores.redis_node import Command, Credentials, RedisNode, Reply
from serve_app.stores.redis_shards import RedisShards
from tests.simulation.redis_cluster import PORT, Node, RedisCluster

LATENCY_S = 0.001
GAP_S = 0.0002
"""Between two commands of a pipeline: others may come in between."""
LATE_S = 4.0


class Link(Enum):
    """What becomes of a client's requests to a node."""

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
        """Clients that are stopped, with what tells them that they go on."""
        self.jitter_s = 0.0
        self.chance = Random(0)

    def latency_s(self) -> float:
        return LATENCY_S + (self.chance.random() * self.jitter_s if self.jitter_s else 0.0)

    async def thawed(self, client: str) -> None:
        """Return when the client runs."""
        while (event := self.frozen.get(client)) is not None:
            await event.wait()

    def shards(self, client: str, *, timeout_s: float, refresh_s: float) -> RedisShards:
        """The map of the cluster as one client has it."""
        return _Shards(self, client, timeout_s=timeout_s, refresh_s=refresh_s)


class _Shards(RedisShards):
    def __init__(self, network: Network, client: str, *, timeout_s: float, refresh_s: float):
        seeds = [(name, PORT) for name in network.cluster.nodes]
        super().__init__(seeds, node_timeout_s=timeout_s, refresh_s=refresh_s)
        self._network = network
        self._client = client

    def _node(self, host: str, port: int, *, replica: bool) -> RedisNode:
        key = (host, port, replica)
        if key not in self._nodes:
            self._nodes[key] = _Node(self._network, self._client, host, replica)
        return self._nodes[key]


class _Node(RedisNode):
    """With the real one's breaker and time limits, on a connection that is none."""

    def __init__(self, network: Network, client: str, host: str, replica: bool) -> None:
        super().__init__(
            host, PORT, credentials=Credentials(), replica=replica, clock=network.clock
        )
        self._link = network, client, network.cluster.nodes[host]

    async def execute(self, commands: Sequence[Command], timeout_s: float) -> list[Reply]:
        network, client, _ = self._link
        await network.thawed(client)
        try:
            return await super().execute(commands, timeout_s)
        finally:
            await network.thawed(client)

    async def _connect(self) -> "_Connection":  # type: ignore[override]
        async with self._connecting:
            if self._connection is None:
                network, client, node = self._link
                await asyncio.sleep(network.latency_s())
                if not node.up:
                    raise ConnectionRefusedError("the node is down")
                self._connection = _Connection(network, client, node, self._replica)  # type: ignore[assignment]
            return self._connection  # type: ignore[return-value]


class _Connection:
    """Answers in the order of the requests; what was sent arrives even if nobody waits any more."""

    def __init__(self, network: Network, client: str, node: Node, readonly: bool) -> None:
        self._network = network
        self._client = client
        self._node = node
        self._readonly = readonly
        self._waiting: deque[asyncio.Future[list[Reply]]] = deque()
        self._arrived_s = 0.0

    def request(self, commands: Sequence[Command]) -> asyncio.Future[list[Reply]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Reply]] = loop.create_future()
        self._waiting.append(future)
        link = self._network.links.get((self._client, self._node.name), Link.OK)
        if link is not Link.LOST:
            late_s = LATE_S if link is Link.LATE else 0.0
            arrives_s = loop.time() + self._network.latency_s() + late_s
            # In order on one connection.
            self._arrived_s = max(self._arrived_s + GAP_S, arrives_s)
            loop.call_at(self._arrived_s, self._arrive, list(commands), [], future)
        return future

    def _arrive(
        self, commands: list[Command], replies: list[Reply], future: asyncio.Future[list[Reply]]
    ) -> None:
        loop = asyncio.get_running_loop()
        node = self._node
        if node.hung:
            again = asyncio.ensure_future(node.resumed.wait())
            again.add_done_callback(lambda done: done.cancelled() or self._arrive(commands, replies, future))
            return
        if not node.up:
            loop.call_soon(self._refuse)
            return
        replies.append(self._network.cluster.execute(node, commands[0], self._readonly))
        if len(commands) > 1:
            self._arrived_s = max(self._arrived_s, loop.time() + GAP_S)
            loop.call_later(GAP_S, self._arrive, commands[1:], replies, future)
            return
        if self._network.links.get((self._client, node.name), Link.OK) in (Link.OK, Link.LATE):
            loop.call_later(self._network.latency_s(), self._answer, future, replies)

    def _answer(self, future: asyncio.Future[list[Reply]], replies: list[Reply]) -> None:
        if future in self._waiting:
            self._waiting.remove(future)
        if not future.done():
            future.set_result(replies)

    def _refuse(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(ConnectionResetError("closed by the node"))
        self._waiting.clear()

    def abort(self) -> None:
        self._refuse()


