"""What the log says and does when its producer fails: with a producer that fails as told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
)
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.errors import OutcomeUnknown, Unavailable
from serve_app.core.settings import Settings
from serve_app.stores import tag_log
from serve_app.stores.tag_log import Stored, TagLog
from tests.fakes.clock import FakeClock
from tests.waiting import eventually

TOPIC = "user_tags"
ARRIVED_MS = 5_000


class FakeBatch:
    """Takes what it is given."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, value: bytes, **rest: Any) -> object | None:
        self.values.append(value)
        return object()


class FakeProducer:
    """`AIOKafkaProducer`, as far as the log uses it."""

    made: list["FakeProducer"]
    start_error: BaseException | None

    def __init__(self, **options: Any) -> None:
        self.options = options
        cluster = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1, 2})
        self.client = SimpleNamespace(cluster=cluster, close=self.stop)
        self.queue_error: Exception | None = None
        self.answer_error: Exception | None = None
        self.answers: dict[int, asyncio.Event] = {}
        self.sent: list[tuple[int, list[bytes]]] = []
        self.stopped = False
        self.made.append(self)

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error

    async def stop(self) -> None:
        self.stopped = True

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> Any:
        if self.queue_error is not None:
            raise self.queue_error
        self.sent.append((partition, batch.values))
        offset = sum(len(values) for to, values in self.sent[:-1] if to == partition)
        return self._answer(partition, offset)

    async def _answer(self, partition: int, offset: int) -> Any:
        await asyncio.sleep(0)
        if partition in self.answers:
            await self.answers[partition].wait()
        if self.answer_error is not None:
            raise self.answer_error
        return SimpleNamespace(offset=offset, timestamp=ARRIVED_MS)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def log(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> AsyncIterator[TagLog]:
    FakeProducer.made = []
    FakeProducer.start_error = None
    monkeypatch.setattr(tag_log, "AIOKafkaProducer", FakeProducer)
    log = TagLog(Settings(), TOPIC, clock)
    log.start()
    await log.wait_ready()
    yield log
    await log.stop()


async def test_the_producer_is_idempotent_and_waits_for_all_replicas(log: TagLog) -> None:
    (producer,) = FakeProducer.made
    assert producer.options["acks"] == "all"
    assert producer.options["enable_idempotence"] is True


async def test_a_producer_with_a_failed_batch_is_never_used_again(log: TagLog) -> None:
    (first,) = FakeProducer.made
    first.answer_error = OutOfOrderSequenceNumber()
    with pytest.raises(OutcomeUnknown):
        await log.append([b"a"])
    await log.wait_ready()
    assert log.replaced == 1
    assert "OutOfOrderSequenceNumber" in log.last_error
    await log.append([b"b"])
    assert [values for _, values in first.sent] == [[b"a"]]
    _, second = FakeProducer.made
    assert [values for _, values in second.sent] == [[b"b"]]

    async def first_closed() -> bool:
        return first.stopped

    await eventually(first_closed)


async def test_several_failures_of_one_producer_replace_it_once(log: TagLog) -> None:
    (first,) = FakeProducer.made
    first.answer_error = OutOfOrderSequenceNumber()
    results = await asyncio.gather(*(log.append([b"a"]) for _ in range(5)), return_exceptions=True)
    # Three were under way, one a partition. Two waited: they were not sent, and say so.
    assert [type(result) for result in results] == [OutcomeUnknown] * 3 + [Unavailable] * 2
    await log.wait_ready()
    assert (log.replaced, len(FakeProducer.made)) == (1, 2)


async def test_a_producer_that_never_answers_is_replaced(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    FakeProducer.made, FakeProducer.start_error = [], None
    monkeypatch.setattr(tag_log, "AIOKafkaProducer", FakeProducer)
    log = TagLog(Settings(kafka_request_timeout_ms=100), TOPIC, clock)
    log.start()
    await log.wait_ready()
    (first,) = FakeProducer.made
    first.answers = dict.fromkeys(range(3), asyncio.Event())
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(log.append([b"a"]), 10)
    await log.wait_ready()
    await log.append([b"b"])
    _, second = FakeProducer.made
    assert [values for _, values in second.sent] == [[b"b"]]
    await log.stop()


@pytest.mark.parametrize(
    "error", [ProducerClosed(), KafkaConnectionError(), OSError("gone"), RuntimeError("a bug")]
)
async def test_what_was_never_queued_was_not_sent(log: TagLog, error: Exception) -> None:
    FakeProducer.made[0].queue_error = error
    with pytest.raises(Unavailable):
        await log.append([b"a"])
    assert log.replaced == 1


async def test_a_full_queue_is_no_failure_of_the_producer(log: TagLog) -> None:
    FakeProducer.made[0].queue_error = KafkaTimeoutError()
    with pytest.raises(Unavailable):
        await log.append([b"a"])
    assert log.replaced == 0
    FakeProducer.made[0].queue_error = None
    await log.append([b"b"])


@pytest.fixture
def three_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_log, "_BATCH_BYTES", 3 * (tag_log._RECORD_BYTES + 1))


@pytest.mark.usefixtures("three_a_batch")
async def test_once_a_part_was_sent_nothing_is_called_unsent(log: TagLog) -> None:
    (producer,) = FakeProducer.made
    real = producer.send_batch

    async def fail_the_second(batch: FakeBatch, topic: str, *, partition: int) -> Any:
        if producer.sent:
            raise KafkaTimeoutError
        return await real(batch, topic, partition=partition)

    producer.send_batch = fail_the_second  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown):
        await log.append([b"%d" % n for n in range(5)])


@pytest.mark.usefixtures("three_a_batch")
async def test_values_are_split_over_batches_in_order(log: TagLog) -> None:
    stored = await log.append([b"%d" % n for n in range(7)])
    sent = FakeProducer.made[0].sent
    assert [values for _, values in sent] == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6"]]
    # None waits for the other: each has a partition.
    assert len({partition for partition, _ in sent}) == 3
    assert stored == [(len(values), Stored(partition, 0, ARRIVED_MS)) for partition, values in sent]


async def test_what_goes_together_stands_one_after_the_other(log: TagLog) -> None:
    (producer,) = FakeProducer.made
    producer.answers = {partition: asyncio.Event() for partition in range(3)}
    first = [asyncio.create_task(log.append([b"x"])) for _ in range(3)]
    later = [asyncio.create_task(log.append([b"y"] * size)) for size in (2, 1, 3)]
    for _ in range(5):
        await asyncio.sleep(0)
    producer.answers.pop(1).set()
    places = [await task for task in later]
    # Behind the one that was there before, in the order in which they came.
    assert places == [
        [(2, Stored(1, 1, ARRIVED_MS))],
        [(1, Stored(1, 3, ARRIVED_MS))],
        [(3, Stored(1, 4, ARRIVED_MS))],
    ]
    for answer in producer.answers.values():
        answer.set()
    await asyncio.gather(*first)


async def test_a_stuck_partition_is_passed_over(log: TagLog, clock: FakeClock) -> None:
    (producer,) = FakeProducer.made
    producer.answers[1] = asyncio.Event()
    waiting = [asyncio.create_task(log.append([b"x"])) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert sorted(partition for partition, _ in producer.sent) == [0, 1, 2]
    # However long: the others answer.
    clock.advance(TagLog.REFUSE_S + 0.01)
    for _ in range(9):
        await log.append([b"y"])
    later = [partition for partition, values in producer.sent if values == [b"y"]]
    assert set(later) == {0, 2}
    producer.answers.pop(1).set()
    await asyncio.gather(*waiting)
    for _ in range(3):
        await log.append([b"z"])
    last = [partition for partition, values in producer.sent if values == [b"z"]]
    assert sorted(last) == [0, 1, 2]


async def test_what_waits_goes_with_the_first_partition_that_answers(log: TagLog) -> None:
    (producer,) = FakeProducer.made
    producer.answers = {partition: asyncio.Event() for partition in range(3)}
    first = [asyncio.create_task(log.append([b"x"])) for _ in range(3)]
    later = [asyncio.create_task(log.append([b"y"])) for _ in range(5)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(producer.sent) == 3
    for partition in (0, 2):
        producer.answers.pop(partition).set()
    await asyncio.wait_for(asyncio.gather(*later), 10)
    assert [b"y"] * 5 in [values for _, values in producer.sent]
    # Partition 1 holds up what it was given before, and nothing else.
    assert sum(append.done() for append in first) == 2
    producer.answers.pop(1).set()
    await asyncio.gather(*first)


@given(steps=st.lists(st.one_of(st.integers(1, 4), st.sampled_from(["0", "1", "2"]))))
async def test_each_value_goes_once_and_none_waits_while_a_partition_is_idle(
    steps: list[int | str],
) -> None:
    """A number is an append of so many values; a string is a partition that answers."""
    FakeProducer.made, FakeProducer.start_error = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_log, "AIOKafkaProducer", FakeProducer)
        log = TagLog(Settings(), TOPIC, FakeClock())
        log.start()
        await log.wait_ready()
        (producer,) = FakeProducer.made
        producer.answers = {partition: asyncio.Event() for partition in range(3)}
        appends: list[asyncio.Task[list[tuple[int, Stored]]]] = []
        appended: list[bytes] = []
        answered = Counter[int]()
        for step in [*steps, *["0", "1", "2"] * 2]:
            if isinstance(step, int):
                values = [b"%d.%d" % (len(appends), n) for n in range(step)]
                appended += values
                appends.append(asyncio.create_task(log.append(values)))
                await asyncio.sleep(0)
                continue
            for _ in range(10):
                await asyncio.sleep(0)
            sent = Counter(partition for partition, _ in producer.sent)
            under_way = [sent[partition] - answered[partition] for partition in range(3)]
            assert max(under_way) <= 1
            taken = [value for _, values in producer.sent for value in values]
            assert len(taken) == len(appended) or min(under_way) == 1
            # The batch under way there, if any, is answered; the next one waits again.
            answer = producer.answers[int(step)]
            producer.answers[int(step)] = asyncio.Event()
            answered[int(step)] = sent[int(step)]
            answer.set()
        await asyncio.wait_for(asyncio.gather(*appends), 10)
        stored = [value for _, values in producer.sent for value in values]
        assert sorted(stored) == sorted(appended)
        await log.stop()


async def test_while_no_partition_answers_more_is_refused_at_once(
    log: TagLog, clock: FakeClock
) -> None:
    (producer,) = FakeProducer.made
    producer.answers = {partition: asyncio.Event() for partition in range(3)}
    waiting = [asyncio.create_task(log.append([b"x"])) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(TagLog.REFUSE_S - 0.01)
    # Not yet: a broker that is replaced is silent for a moment, too.
    waiting.append(asyncio.create_task(log.append([b"late"])))
    await asyncio.sleep(0)
    clock.advance(0.02)
    with pytest.raises(Unavailable, match="no partition"):
        await log.append([b"refused"])
    for answer in producer.answers.values():
        answer.set()
    await asyncio.gather(*waiting)
    await log.append([b"y"])
    stored = [value for _, values in producer.sent for value in values]
    assert sorted(stored) == [b"late", b"x", b"x", b"x", b"y"]


async def test_a_partition_that_answers_and_gets_more_is_not_silent(
    log: TagLog, clock: FakeClock
) -> None:
    (producer,) = FakeProducer.made
    producer.answers = {partition: asyncio.Event() for partition in range(3)}
    appends = [asyncio.create_task(log.append([b"x"])) for _ in range(4)]
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(0.6 * TagLog.REFUSE_S)
    answer, producer.answers[0] = producer.answers[0], asyncio.Event()
    answer.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert [partition for partition, _ in producer.sent].count(0) == 2
    clock.advance(0.6 * TagLog.REFUSE_S)
    appends.append(asyncio.create_task(log.append([b"y"])))
    await asyncio.sleep(0)
    for answer in producer.answers.values():
        answer.set()
    await asyncio.gather(*appends)


@pytest.mark.parametrize(
    "error",
    # The last one is not of who stops the log: aiokafka cancels work of its own.
    [KafkaConnectionError("nobody there"), asyncio.CancelledError("nobody there")],
    ids=repr,
)
async def test_connecting_goes_on_until_it_works(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, error: BaseException
) -> None:
    FakeProducer.made = []
    FakeProducer.start_error = error
    monkeypatch.setattr(tag_log, "AIOKafkaProducer", FakeProducer)
    log = TagLog(Settings(), TOPIC, clock)
    log.start()

    async def tried() -> bool:
        return len(FakeProducer.made) >= 3

    await eventually(tried, every_s=0)
    assert all(producer.stopped for producer in FakeProducer.made[:2])
    assert not log.ready
    with pytest.raises(Unavailable, match="nobody there"):
        await log.append([b"x"])
    FakeProducer.start_error = None
    await log.wait_ready()
    await log.append([b"x"])
    await log.stop()
    assert not log.ready
    with pytest.raises(Unavailable):
        await log.append([b"x"])


async def test_connecting_goes_on_after_a_ca_file_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    def cannot_read(settings: Settings) -> dict[str, Any]:
        raise FileNotFoundError("ca.pem")

    FakeProducer.made, FakeProducer.start_error = [], None
    monkeypatch.setattr(tag_log, "AIOKafkaProducer", FakeProducer)
    log = TagLog(Settings(), TOPIC, clock)
    begun_s = clock.now_s
    with monkeypatch.context() as patch:
        patch.setattr(tag_log, "connection_options", cannot_read)
        log.start()
        while clock.now_s < begun_s + 2:
            await asyncio.sleep(0)
            assert log.task is not None
            assert not log.task.done()
        with pytest.raises(Unavailable, match=r"ca\.pem"):
            await log.append([b"x"])
    await log.wait_ready()
    assert log.task is None
    await log.append([b"x"])
    await log.stop()
