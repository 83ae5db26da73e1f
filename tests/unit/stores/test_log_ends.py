"""Samples of the log's ends when some of its partitions do not answer."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import Settings
from serve_app.stores import log_ends
from serve_app.stores.log_ends import LogEnds
from tests.fakes.clock import FakeClock

ID = "ab" * 16


class Brokers:
    """What is asked of a consumer, and of a client for the topic's id."""

    def __init__(self, ends: dict[int, int]) -> None:
        self.ends = ends
        self.silent: set[int] = set()
        self.refuses: set[int] = set()
        self.topic_id = ID
        self._client = self

    def partitions_for_topic(self, topic: str) -> set[int]:
        assert topic == USER_TAGS_TOPIC
        return set(self.ends)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        for partition in partitions:
            if partition.partition in self.silent:
                await asyncio.sleep(3_600)
            if partition.partition in self.refuses:
                raise KafkaError("no leader")
        return {one: self.ends[one.partition] for one in partitions}

    def get_random_node(self) -> int:
        return 0

    async def send(self, node: int, request: object) -> Any:
        topic = (0, USER_TAGS_TOPIC, bytes.fromhex(self.topic_id))
        return SimpleNamespace(topics=[topic])

    async def start(self) -> None:
        """Of a consumer."""

    async def bootstrap(self) -> None:
        """Of a client."""

    async def stop(self) -> None:
        """Of a consumer."""

    async def close(self) -> None:
        """Of a client."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


@pytest.fixture
def ends(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> LogEnds:
    monkeypatch.setattr(log_ends, "_END_S", 0.01)
    return LogEnds(Settings(), clock)


async def take(ends: LogEnds, brokers: Brokers) -> bool:
    return await ends._take(brokers, brokers)


@pytest.mark.parametrize("how", ["silent", "refuses"])
async def test_a_partition_that_does_not_answer_holds_up_no_other(
    ends: LogEnds, clock: FakeClock, how: str
) -> None:
    brokers = Brokers({0: 10, 1: 20, 2: 30})
    assert await take(ends, brokers)
    whole = ends.newest
    getattr(brokers, how).add(0)
    brokers.ends = {0: 11, 1: 21, 2: 31}
    clock.advance(5)
    assert not await take(ends, brokers)
    assert ends.newest is not None
    assert dict(ends.newest.ends) == {0: 10, 1: 21, 2: 31}
    # As old as the oldest of its ends: nobody takes it for one of now.
    assert ends.newest.asked_s == 100.0
    assert ends.oldest_since(100.0) is whole
    assert ends.oldest_since(100.1) is None
    assert "partitions" in ends.last_error
    getattr(brokers, how).clear()
    assert await take(ends, brokers)
    assert ends.newest.asked_s == 105.0
    assert not ends.last_error


async def test_of_many_such_samples_the_newest_is_kept(ends: LogEnds, clock: FakeClock) -> None:
    brokers = Brokers({0: 10, 1: 20})
    await take(ends, brokers)
    brokers.silent.add(1)
    for end in range(11, 300):
        brokers.ends[0] = end
        clock.advance(1)
        await take(ends, brokers)
    assert [dict(one.ends) for one in ends._samples] == [{0: 10, 1: 20}, {0: 299, 1: 20}]


async def test_parts_of_another_topic_are_not_mixed(ends: LogEnds, clock: FakeClock) -> None:
    brokers = Brokers({0: 10, 1: 20})
    await take(ends, brokers)
    brokers.silent.add(1)
    brokers.ends[0], brokers.topic_id = 3, "cd" * 16
    assert not await take(ends, brokers)
    assert ends.newest is not None
    assert (ends.newest.topic_id, dict(ends.newest.ends)) == (ID, {0: 10, 1: 20})


async def test_without_any_answer_there_is_no_sample(ends: LogEnds) -> None:
    brokers = Brokers({0: 10, 1: 20})
    brokers.silent |= {0, 1}
    with pytest.raises(TimeoutError):
        await take(ends, brokers)
    assert ends.newest is None


async def test_sampling_goes_on_after_a_ca_file_could_not_be_read(
    ends: LogEnds, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_read(settings: Settings) -> dict[str, Any]:
        raise FileNotFoundError("ca.pem")

    brokers = Brokers({0: 10})
    monkeypatch.setattr(log_ends, "AIOKafkaConsumer", lambda **options: brokers)
    monkeypatch.setattr(log_ends, "AIOKafkaClient", lambda **options: brokers)
    with monkeypatch.context() as patch:
        patch.setattr(log_ends, "connection_options", cannot_read)
        ends.start()
        while clock.now_s < 103.0:
            await asyncio.sleep(0)
            assert ends.task is not None
            assert not ends.task.done()
        assert "ca.pem" in ends.last_error
    await ends.wait_ready()
    assert not ends.last_error
    await ends.stop()
