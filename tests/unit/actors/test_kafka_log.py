"""A partition's log connects once, whoever asks, and lets go of all that it connects."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from actors.errors import LogUnavailable
from actors.log import kafka_log
from actors.log.kafka_log import KafkaLog
from actors.log.ports import LogState
from actors.settings import ActorSettings
from serve_app.core.settings import Settings

TOPIC = "user_tags"
STATE = LogState("ab" * 16, 3, 7)


class Client:
    """`AIOKafkaClient`, as far as the log and its consumer use it."""

    made: list["Client"]
    fails: bool

    def __init__(self, **options: Any) -> None:
        self.cluster = SimpleNamespace(leader_for_partition=lambda partition: 1)
        self.opened = 0
        self.open = False
        self.made.append(self)

    async def bootstrap(self) -> None:
        self.opened += 1
        self.open = True
        await asyncio.sleep(0)

    def add_topic(self, topic: str) -> None:
        assert self.open

    async def force_metadata_update(self) -> None:
        await asyncio.sleep(0)

    async def send(self, node: int, request: object) -> Any:
        assert self.open
        if self.fails:
            raise ConnectionError("the broker is gone")
        return SimpleNamespace(topics=[(0, TOPIC, bytes.fromhex(STATE.topic_id))])

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.open = False


class Consumer:
    """`AIOKafkaConsumer`, the same."""

    made: list["Consumer"]

    def __init__(self, **options: Any) -> None:
        self._client = Client()
        self.stopping = asyncio.Event()
        self.stop_waits = False
        self.stop_error: BaseException | None = None
        self.made.append(self)

    async def start(self) -> None:
        await self._client.bootstrap()

    def assign(self, partitions: list[TopicPartition]) -> None:
        assert self._client.open

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        assert self._client.open
        return dict.fromkeys(partitions, STATE.begin)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        assert self._client.open
        return dict.fromkeys(partitions, STATE.end)

    async def stop(self) -> None:
        self.stopping.set()
        if self.stop_waits:
            await asyncio.Event().wait()
        if self.stop_error is not None:
            raise self.stop_error
        await self._client.close()


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Client]]:
    """All that were made, those inside of consumers included."""
    Client.made, Client.fails = [], False
    Consumer.made = []
    monkeypatch.setattr(kafka_log, "AIOKafkaClient", Client)
    monkeypatch.setattr(kafka_log, "AIOKafkaConsumer", Consumer)
    yield Client.made
    assert not [client for client in Client.made if client.open]


@pytest.fixture
def log() -> KafkaLog:
    return KafkaLog(TOPIC, 0, stores=Settings(), settings=ActorSettings())


async def test_all_who_ask_at_once_get_the_same_clients(
    log: KafkaLog, clients: list[Client]
) -> None:
    assert await asyncio.gather(*(log.state() for _ in range(4))) == [STATE] * 4
    assert [client.opened for client in clients] == [1, 1]
    await log.close()


async def test_all_who_ask_again_after_an_error_get_the_same_new_clients(
    log: KafkaLog, clients: list[Client]
) -> None:
    Client.fails = True
    failures = await asyncio.gather(*(log.state() for _ in range(4)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [LogUnavailable] * 4
    Client.fails = False
    before = len(clients)
    assert await asyncio.gather(*(log.state() for _ in range(4))) == [STATE] * 4
    assert [client.opened for client in clients[before:]] == [1, 1]
    await log.close()


async def begun(log: KafkaLog, steps: int) -> "asyncio.Task[LogState]":
    """Somebody who asks, some steps of the loop later."""
    asking = asyncio.create_task(log.state())
    for _ in range(steps):
        await asyncio.sleep(0)
    return asking


@pytest.mark.parametrize("steps", range(8))
async def test_who_is_cancelled_while_connecting_leaves_no_client_behind(
    log: KafkaLog, steps: int
) -> None:
    asking = await begun(log, steps)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await log.state() == STATE
    await log.close()


@pytest.mark.parametrize("steps", range(1, 8))
async def test_a_close_while_another_connects_leaves_no_client_behind(
    log: KafkaLog, steps: int
) -> None:
    asking = await begun(log, steps)
    await log.close()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError("a bug")], ids=repr)
async def test_a_consumer_that_fails_to_stop_is_disconnected(
    log: KafkaLog, error: BaseException
) -> None:
    """As aiokafka's does while a fetch waits to retry, after the death of a broker."""
    await log.state()
    (consumer,) = Consumer.made
    consumer.stop_error = error
    Client.fails = True
    with pytest.raises(LogUnavailable, match="the broker is gone"):
        await log.state()
    await log.close()


async def test_nobody_waits_for_the_farewell_of_a_silent_broker(clients: list[Client]) -> None:
    """As TLS does, of a host without power."""
    log = KafkaLog(TOPIC, 0, stores=Settings(), settings=ActorSettings(log_timeout_s=0.5))
    await log.state()
    (consumer,) = Consumer.made
    consumer.stop_waits = True
    Client.fails = True
    with pytest.raises(LogUnavailable, match="the broker is gone"):
        await log.state()
    assert any(client.open for client in clients)
    Client.fails = False
    assert await log.state() == STATE
    assert len(clients) == 4
    await log.close()


async def test_a_close_that_is_cancelled_leaves_no_client_behind(log: KafkaLog) -> None:
    await log.state()
    (consumer,) = Consumer.made
    consumer.stop_waits = True
    closing = asyncio.create_task(log.close())
    await consumer.stopping.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_a_ca_file_that_cannot_be_read_is_an_error_of_the_log(tmp_path: Path) -> None:
    stores = Settings(kafka_security_protocol="SSL", kafka_ca_file=str(tmp_path / "none.pem"))
    log = KafkaLog(TOPIC, 0, stores=stores, settings=ActorSettings())
    with pytest.raises(LogUnavailable, match="No such file"):
        await log.state()
