"""Whatever a Kafka client does when its broker dies, the loop that uses it goes on."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from actors.errors import LogUnavailable
from actors.log.kafka_errors import kafka_call
from serve_app.stores.kafka_clients import close_client

pytestmark = pytest.mark.asyncio

RAISED = [
    KafkaConnectionError("gone"),
    UnknownTopicOrPartitionError(),
    ConnectionResetError("reset"),
    AssertionError("a bug of the client's"),
    RuntimeError("another one"),
    asyncio.CancelledError(),
]


async def end_with(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", RAISED, ids=repr)
async def test_every_failure_of_a_call_is_one_kind_of_error(error: BaseException) -> None:
    with pytest.raises(LogUnavailable):
        async with kafka_call("a-topic", 5):
            await end_with(error)


async def test_a_call_that_does_not_end_is_given_up() -> None:
    with pytest.raises(LogUnavailable, match=r"within 0\.1 s"):
        async with kafka_call("a-topic", 0.1):
            await asyncio.Event().wait()


@pytest.mark.parametrize("error", RAISED, ids=repr)
async def test_a_client_that_fails_to_close_is_let_go(error: BaseException) -> None:
    await close_client(end_with(error), 5)


async def test_a_client_that_does_not_close_is_let_go() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    await close_client(never(), 0.1)


async def test_who_is_cancelled_ends() -> None:
    async def call() -> None:
        async with kafka_call("a-topic", 5):
            await asyncio.Event().wait()

    async def close() -> None:
        async def never() -> None:
            await asyncio.Event().wait()

        await close_client(never(), 5)

    for coroutine in (call(), close()):
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
