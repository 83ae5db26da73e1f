"""The log on a real broker: acknowledged tags are in it once, despite failures."""

import asyncio
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from serve_app.core.errors import OutcomeUnknown, Unavailable
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import Settings
from serve_app.stores.log_ends import LogEnds
from serve_app.stores.tag_log import Stored, TagLog
from setup.local.platform import Platform
from tests.marks import second_tier
from tests.stores.conftest import kill, pid_of, stopped
from tests.tags import encoded, new_cookie, wire_tag
from tests.waiting import eventually

PARTITIONS = 3
"""As setup/topics.py makes them."""


def impatient(platform: Platform) -> Settings:
    """Settings with a short time-out for a hanging broker."""
    return platform.settings().model_copy(update={"kafka_request_timeout_ms": 600})


@pytest_asyncio.fixture
async def log(kafka_stores: Platform) -> AsyncIterator[TagLog]:
    log = TagLog(impatient(kafka_stores), USER_TAGS_TOPIC)
    log.start()
    async with asyncio.timeout(30):
        await log.wait_ready()
    yield log
    await log.stop()


async def everything(platform: Platform, topic: str = USER_TAGS_TOPIC) -> Sequence[ConsumerRecord]:
    """All records of a topic, each partition's in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=platform.settings().kafka_bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for part in (await consumer.getmany(timeout_ms=200)).values():
                records += part
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


class Outcomes:
    """Appends unique values and records the outcome of each."""

    def __init__(self, log: TagLog) -> None:
        self._log = log
        self._mark = uuid.uuid4().hex
        self._count = 0
        self.said: dict[bytes, str] = {}

    async def append(self, count: int = 3) -> str:
        values = [f"{self._mark}.{self._count + n}".encode() for n in range(count)]
        self._count += count
        try:
            await self._log.append(values)
            outcome = "stored"
        except Unavailable:
            outcome = "refused"
        except OutcomeUnknown:
            outcome = "unknown"
        self.said |= dict.fromkeys(values, outcome)
        return outcome

    async def works(self) -> bool:
        """Whether an append succeeds."""
        return await self.append() == "stored"

    async def check(self, platform: Platform) -> None:
        """Check that the log agrees with the outcomes."""
        records = await everything(platform)
        there = Counter(record.value for record in records)
        for value, outcome in self.said.items():
            allowed = {"stored": {1}, "refused": {0}, "unknown": {0, 1}}[outcome]
            assert there[value] in allowed, (value, outcome)
        assert self._count == len(self.said)


async def test_a_record_is_the_body_with_a_header_and_the_time_of_arrival(
    log: TagLog, kafka_stores: Platform
) -> None:
    body = encoded(wire_tag(new_cookie(), brand_id="ż\x00")) + b" \n"
    before = time.time_ns() // 1_000_000
    ((count, stored),) = await log.append([body])
    after = time.time_ns() // 1_000_000
    (record,) = [r for r in await everything(kafka_stores) if r.value == body]
    assert record.key is None
    assert record.headers == (("format", b"json/1"),)
    assert before <= record.timestamp <= after
    assert record.value == body
    assert count == 1
    assert stored == Stored(record.partition, record.offset, record.timestamp)


async def test_a_request_id_goes_with_its_record(log: TagLog, kafka_stores: Platform) -> None:
    mark = uuid.uuid4().hex.encode()
    await log.append([mark + b"1", mark + b"2"], [b"an id", b""])
    records = [r for r in await everything(kafka_stores) if r.value.startswith(mark)]
    assert [dict(record.headers).get("request_id") for record in records] == [b"an id", None]


async def test_values_of_one_append_stand_in_order_in_one_partition(
    log: TagLog, kafka_stores: Platform
) -> None:
    mark = uuid.uuid4().hex
    values = [f"{mark}.{n}".encode() for n in range(100)]
    ((count, stored),) = await log.append(values)
    records = [r for r in await everything(kafka_stores) if r.value.startswith(mark.encode())]
    assert [record.value for record in records] == values
    assert {record.partition for record in records} == {stored.partition}
    assert [record.offset for record in records] == [stored.first_offset + n for n in range(count)]


async def test_more_than_a_batch_holds_is_stored_whole(log: TagLog, kafka_stores: Platform) -> None:
    mark = uuid.uuid4().hex.encode()
    values = [mark + str(n).encode() + os.urandom(60_000) for n in range(20)]
    places = await log.append(values)
    records = [r for r in await everything(kafka_stores) if r.value.startswith(mark)]
    assert sorted(record.value for record in records) == sorted(values)
    at = {(record.partition, record.offset): record.value for record in records}
    assert len(places) > 1
    told = [
        at[where.partition, where.first_offset + n] for count, where in places for n in range(count)
    ]
    assert told == values


async def test_appends_go_to_all_partitions_in_turn(kafka_stores: Platform) -> None:
    log = TagLog(kafka_stores.settings(), USER_TAGS_TOPIC)
    log.start()
    await log.wait_ready()
    mark = uuid.uuid4().hex.encode()
    for n in range(30):
        await log.append([mark + b"%d" % n])
    records = [r for r in await everything(kafka_stores) if r.value.startswith(mark)]
    assert Counter(record.partition for record in records) == {0: 10, 1: 10, 2: 10}
    await log.stop()


async def test_many_appends_at_once_wait_for_their_turn(kafka_stores: Platform) -> None:
    # As after a broker's pause. aiokafka's queue counts the whole wait again at each turn, so
    # that its time-out comes far too soon (message_accumulator.py, add_batch).
    log = TagLog(kafka_stores.settings(), USER_TAGS_TOPIC)
    log.start()
    await log.wait_ready()
    mark = uuid.uuid4().hex.encode()
    await asyncio.gather(*(log.append([mark + b"%d" % n]) for n in range(600)))
    values = [r.value for r in await everything(kafka_stores) if r.value.startswith(mark)]
    assert len(values) == len(set(values)) == 600
    await log.stop()


async def test_without_a_connection_nothing_is_sent(kafka_stores: Platform) -> None:
    log = TagLog(Settings(kafka_bootstrap="127.0.0.1:1"), USER_TAGS_TOPIC)
    assert not log.ready
    with pytest.raises(Unavailable):
        await log.append([b"x"])
    log.start()

    async def failed() -> bool:
        return bool(log.last_error)

    await eventually(failed)
    assert not log.ready
    with pytest.raises(Unavailable, match="cannot be reached"):
        await log.append([b"x"])
    await log.stop()


async def test_a_topic_that_is_not_there_takes_nothing(kafka_stores: Platform) -> None:
    log = TagLog(kafka_stores.settings(), "no_such_topic")
    log.start()

    async def failed() -> bool:
        return bool(log.last_error)

    await eventually(failed)
    with pytest.raises(Unavailable):
        await log.append([b"x"])
    await log.stop()


@second_tier
async def test_a_broker_killed_in_the_middle_loses_and_doubles_nothing(
    log: TagLog, kafka_stores: Platform
) -> None:
    outcomes = Outcomes(log)
    assert await outcomes.works()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(200):
            tasks.append(group.create_task(outcomes.append()))
            await asyncio.sleep(0.005)
            if number == 150:
                early = await asyncio.gather(*tasks[:100])
                kill(kafka_stores, "kafka-1")
    # The others wait for the broker: how many succeed depends on when it is back.
    assert early.count("stored") >= 100

    await eventually(outcomes.works, 40, 0.2)
    for _ in range(5):
        assert await outcomes.works()
    await outcomes.check(kafka_stores)


async def test_a_broker_that_fell_silent_acknowledges_nothing_and_doubles_nothing(
    log: TagLog, kafka_stores: Platform
) -> None:
    outcomes = Outcomes(log)
    assert await outcomes.works()
    with stopped(kafka_stores, "kafka-1"):
        tasks = [asyncio.create_task(outcomes.append()) for _ in range(9)]
        # Longer than a request may take, so that the producer retries.
        done, _ = await asyncio.wait(tasks, timeout=1.5)
        assert all(task.result() in ("refused", "unknown") for task in done)
    async with asyncio.timeout(40):
        await asyncio.gather(*tasks)
    await eventually(outcomes.works, 40, 0.2)
    await outcomes.check(kafka_stores)


async def test_log_ends_hold_whatever_was_acknowledged_before_they_were_asked(
    log: TagLog, kafka_stores: Platform
) -> None:
    ends = LogEnds(kafka_stores.settings())
    ends.start()
    loop = asyncio.get_running_loop()
    try:
        first = await ends.wait_since(loop.time(), 20)
        assert first is not None
        await asyncio.gather(*(log.append([b"x", b"y"]) for _ in range(6)))
        acknowledged_s = loop.time()
        second = await ends.wait_since(acknowledged_s, 20)
        assert second is not None
        assert second.asked_s >= acknowledged_s
        assert sum(second.ends.values()) >= sum(first.ends.values()) + 12
        records = Counter(r.partition for r in await everything(kafka_stores))
        assert dict(second.ends) == {n: records[n] for n in range(3)}
        assert ends.newest == second
        assert ends.oldest_since(first.asked_s) == first
    finally:
        await ends.stop()


async def test_log_ends_survive_a_silent_broker(kafka_stores: Platform) -> None:
    ends = LogEnds(impatient(kafka_stores))
    ends.start()
    loop = asyncio.get_running_loop()
    try:
        assert await ends.wait_since(loop.time(), 20) is not None
        pid = pid_of(kafka_stores, "kafka-1")
        os.kill(pid, signal.SIGSTOP)
        try:
            silent_s = loop.time() + 0.1
            assert await ends.wait_since(silent_s, 2.5) is None
            assert ends.last_error
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await ends.wait_since(loop.time(), 30) is not None
        assert not ends.last_error
    finally:
        await ends.stop()
