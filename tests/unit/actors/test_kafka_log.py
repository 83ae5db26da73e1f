"""A partition's log lets go of both of its clients."""

import asyncio
from typing import Any

import pytest

from actors.log.kafka_log import KafkaLog
from actors.settings import ActorSettings
from serve_app.core.settings import Settings


class Client:
    """Of Kafka; ``stop`` takes until it is cancelled."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.closed = False

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


async def test_a_close_that_is_cancelled_leaves_no_client_behind() -> None:
    log = KafkaLog("user_tags", 0, stores=Settings(), settings=ActorSettings())
    consumer: Any = Client()
    client: Any = Client()
    log._consumer, log._client = consumer, client
    task = asyncio.create_task(log.close())
    await consumer.stopping.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.closed
