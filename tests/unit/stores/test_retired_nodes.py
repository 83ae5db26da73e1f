"""A node that has left the map of the cluster is never connected again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest

from serve_app.stores.redis_node import Credentials, NodeUnavailable, RedisNode
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable
from tests.waiting import eventually

LAST_SLOT = 16_383


class FakeRedis:
    """Answers greetings and PING over real connections, and counts these."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.port = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()
        self.connected = 0
        self.connections: set[asyncio.StreamWriter] = set()

    @property
    def place(self) -> list[Any]:
        return [b"127.0.0.1", self.port, self.node_id.encode()]

    def node(self) -> RedisNode:
        return RedisNode("127.0.0.1", self.port, credentials=Credentials(), node_id=self.node_id)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeRedis"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.answering.set()
            for writer in list(self.connections):
                writer.close()
            await eventually(self.is_alone)

    async def is_alone(self) -> bool:
        """Whether nobody is connected."""
        return not self.connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        self.connections.add(writer)
        parser = hiredis.Reader()
        try:
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    self.asked.set()
                    await self.answering.wait()
                    writer.write(self._reply(command))
        finally:
            self.connections.discard(writer)
            writer.close()

    def _reply(self, command: list[bytes]) -> bytes:
        match command:
            case [b"CLUSTER", b"MYID"]:
                return b"$%d\r\n%b\r\n" % (len(self.node_id), self.node_id.encode())
            case _:
                return b"+PONG\r\n"


async def test_a_retired_node_refuses_and_does_not_connect() -> None:
    async with FakeRedis("a").serving() as redis:
        node = redis.node()
        assert await node.execute([("PING",)], 5) == [b"PONG"]
        node.retire()
        await eventually(redis.is_alone)
        with pytest.raises(NodeUnavailable, match="no longer in the map"):
            await node.execute([("PING",)], 5)
        assert redis.connected == 1


async def test_a_node_that_is_retired_while_it_connects_keeps_no_connection() -> None:
    async with FakeRedis("a").serving() as redis:
        node = redis.node()
        redis.answering.clear()
        asking = asyncio.create_task(node.execute([("PING",)], 5))
        await redis.asked.wait()
        node.retire()
        redis.answering.set()
        with pytest.raises(NodeUnavailable, match="no longer in the map"):
            await asking
        await eventually(redis.is_alone)


async def test_a_read_that_waits_while_the_map_changes_leaves_no_connection() -> None:
    async with FakeRedis("a").serving() as old, FakeRedis("b").serving() as new:
        shards = RedisShards([("127.0.0.1", new.port)], node_timeout_s=30)
        shards._install([[0, LAST_SLOT, old.place, new.place]], "127.0.0.1")
        (shard,) = shards.shards
        await shards.on_master(shard, [("PING",)])

        old.answering.clear()
        old.asked.clear()
        reading = asyncio.create_task(shards.on_any(shard, [("PING",)]))
        await old.asked.wait()
        shards._install([[0, LAST_SLOT, new.place]], "127.0.0.1")
        # Its master was forgotten, and the replica by which it would go on is the master now.
        with pytest.raises(ShardUnavailable, match="closed by the node"):
            await reading
        assert await shards.on_any(shards.shards[0], [("PING",)]) == (True, [b"PONG"])
        await shards.stop()
        await eventually(new.is_alone)
        with pytest.raises(ShardUnavailable):
            await shards.on_master(shards.shards[0], [("PING",)])
