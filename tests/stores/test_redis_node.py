"""One pipelined connection to a real node: order, errors, deaths, hangs."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

import hiredis
import pytest
import redis
import uvloop

from serve_app.stores.redis_node import Credentials, NodeUnavailable, RedisNode
from setup.local.platform import Platform
from tests.fakes.clock import FakeClock
from tests.stores.conftest import kill, stopped
from tests.waiting import eventually

PART = "redis-1"


def port_of(platform: Platform, part: str = PART) -> int:
    return platform.ports["redis"] + int(part.removeprefix("redis-")) - 1


@pytest.fixture
def admin(redis_stores: Platform) -> redis.Redis:
    """An independent client, for inspection."""
    return redis.Redis("127.0.0.1", port_of(redis_stores))


@pytest.fixture
def node(redis_stores: Platform) -> RedisNode:
    return RedisNode("127.0.0.1", port_of(redis_stores), credentials=Credentials())


async def echo(node: RedisNode, text: str, timeout_s: float = 5.0) -> bytes:
    (reply,) = await node.execute([("ECHO", text)], timeout_s)
    assert isinstance(reply, bytes)
    return reply


async def answers(node: RedisNode) -> bool:
    try:
        return await echo(node, "there?", 0.2) == b"there?"
    except NodeUnavailable:
        return False


async def test_concurrent_requests_get_their_own_replies_over_one_connection(
    node: RedisNode, admin: redis.Redis
) -> None:
    before = admin.info("stats")["total_connections_received"]

    async def ask(number: int) -> None:
        commands = [("ECHO", f"{number}.{part}") for part in range(number % 5 + 1)]
        replies = await node.execute(commands, 5)
        assert replies == [f"{number}.{part}".encode() for part in range(number % 5 + 1)]

    await asyncio.gather(*map(ask, range(300)))
    assert admin.info("stats")["total_connections_received"] == before + 1
    node.close()


async def test_a_name_that_leads_to_another_node_is_tried_until_it_leads_to_the_right_one(
    redis_stores: Platform, admin: redis.Redis
) -> None:
    """As DNS may for seconds after two pods came back with each other's address."""
    led_to = port_of(redis_stores, "redis-2")
    connected = []

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(led_to)
        there = await asyncio.open_connection("127.0.0.1", led_to)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(lead, "127.0.0.1", 0) as name:
        port = name.sockets[0].getsockname()[1]
        node_id = admin.execute_command("CLUSTER MYID")
        node = RedisNode(
            "127.0.0.1", port, credentials=Credentials(), node_id=bytes(node_id).decode()
        )
        for _ in range(2):
            with pytest.raises(NodeUnavailable, match="answers for"):
                await echo(node, "x")
            node.close()
            await asyncio.sleep(RedisNode.BREAK_S)
        led_to = port_of(redis_stores)
        assert await echo(node, "there?") == b"there?"
        assert connected == [port_of(redis_stores, "redis-2")] * 2 + [led_to]
        node.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_stall_of_our_own_is_not_taken_for_a_dead_node(
    node: RedisNode, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def go() -> None:
        await echo(node, "warm")
        requests = [asyncio.create_task(echo(node, f"{at}", 0.1)) for at in range(100)]
        await asyncio.sleep(0)
        # The loop is blocked, while the node answers.
        time.sleep(0.3)  # noqa: ASYNC251
        assert await asyncio.gather(*requests) == [f"{at}".encode() for at in range(100)]
        assert not node.down
        node.close()

    run(go())


async def test_replies_larger_than_a_read_are_put_together(node: RedisNode) -> None:
    texts = [str(number) * 300_000 for number in range(8)]
    replies = await asyncio.gather(*(echo(node, text) for text in texts))
    assert [reply.decode() for reply in replies] == texts
    node.close()


async def test_an_error_reply_stands_in_its_place_and_harms_nobody(
    node: RedisNode, admin: redis.Redis
) -> None:
    await node.execute([("PING",)], 5)
    before = admin.info("stats")["total_connections_received"]
    bad, good = await asyncio.gather(
        node.execute([("ECHO", "a"), ("NOSUCHCOMMAND",), ("ECHO", "b")], 5), echo(node, "c")
    )
    assert (bad[0], bad[2], good) == (b"a", b"b", b"c")
    assert isinstance(bad[1], hiredis.ReplyError)
    assert not node.down
    assert admin.info("stats")["total_connections_received"] == before
    node.close()


async def test_a_request_that_is_given_up_does_not_shift_the_replies(node: RedisNode) -> None:
    await echo(node, "connect")
    tasks = [asyncio.create_task(echo(node, str(number))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, result in enumerate(results):
        if number % 3:
            assert result == str(number).encode()
        else:
            assert isinstance(result, asyncio.CancelledError)
    assert await echo(node, "after") == b"after"
    node.close()


async def test_a_killed_node_is_unavailable_and_comes_back(
    node: RedisNode, redis_stores: Platform
) -> None:
    await echo(node, "connect")
    kill(redis_stores, PART)

    async def gone() -> bool:
        return not await answers(node)

    await eventually(gone, every_s=0.001)
    assert node.down
    await eventually(lambda: answers(node))
    node.close()


async def test_a_silent_node_costs_one_timeout_and_then_nothing(redis_stores: Platform) -> None:
    clock = FakeClock()
    port = port_of(redis_stores)
    node = RedisNode("127.0.0.1", port, credentials=Credentials(), clock=clock)
    await echo(node, "connect")
    with stopped(redis_stores, PART):
        started = time.monotonic()
        results = await asyncio.gather(
            *(echo(node, str(number), 0.2) for number in range(10)), return_exceptions=True
        )
        assert all(isinstance(result, NodeUnavailable) for result in results)
        assert 0.15 < time.monotonic() - started < 1.0
        # The breaker is open: no waiting, whatever the time-out.
        started = time.monotonic()
        for _ in range(100):
            with pytest.raises(NodeUnavailable, match="is down"):
                await echo(node, "x", 60)
        assert time.monotonic() - started < 0.2
        # Then one retries. The kernel accepts its connection, but only an answer counts.
        clock.advance(RedisNode.BREAK_S)
        assert not node.down
        with pytest.raises(NodeUnavailable):
            await echo(node, "y", 0.2)
        assert node.down
    clock.advance(RedisNode.BREAK_S / 2)
    assert node.down
    clock.advance(RedisNode.BREAK_S)
    # Replies to earlier requests are not mistaken for this one's.
    assert await echo(node, "z") == b"z"
    node.close()


async def test_nobody_listening_is_unavailable_at_once(stores: Platform) -> None:
    node = RedisNode("127.0.0.1", 1, credentials=Credentials())
    with pytest.raises(NodeUnavailable, match=r"127\.0\.0\.1:1"):
        await echo(node, "x", 60)


async def test_a_refused_introduction_is_unavailable(redis_stores: Platform) -> None:
    credentials = Credentials("someone", "wrong")
    node = RedisNode("127.0.0.1", port_of(redis_stores), credentials=credentials)
    with pytest.raises(NodeUnavailable):
        await echo(node, "x")
    assert "wrong" not in repr(credentials)


async def test_each_connection_loads_the_scripts_before_anything_else(
    redis_stores: Platform, admin: redis.Redis
) -> None:
    text = "return ARGV[1]"
    node = RedisNode("127.0.0.1", port_of(redis_stores), credentials=Credentials(), scripts=(text,))
    call = ("EVALSHA", hashlib.sha1(text.encode()).hexdigest(), 0, "here")
    for _ in range(2):
        assert await node.execute([call], 5) == [b"here"]
        # As for a killed node, or a replica that was not used before.
        admin.script_flush()
        node.close()


async def test_a_script_that_does_not_compile_is_unavailable(redis_stores: Platform) -> None:
    node = RedisNode(
        "127.0.0.1", port_of(redis_stores), credentials=Credentials(), scripts=("not Lua",)
    )
    with pytest.raises(NodeUnavailable, match="compiling"):
        await echo(node, "x")


async def test_close_fails_those_who_wait(node: RedisNode, redis_stores: Platform) -> None:
    await echo(node, "connect")
    with stopped(redis_stores, PART):
        waiting = asyncio.create_task(echo(node, "x", 60))
        await asyncio.sleep(0)
        node.close()
        with pytest.raises(NodeUnavailable):
            await waiting
