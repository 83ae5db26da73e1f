"""Records that other producers wrote to the topic of tags: none stops a partition."""

import asyncio
import os

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from actors.log.dead_letters import MAX_VALUE
from serve_app.core.names import DEAD_LETTERS_TOPIC
from serve_app.stores.kafka_clients import connection_options
from tests.marks import second_tier
from tests.sink.harness import Harness, Running
from tests.sink.stream import bodies

pytestmark = pytest.mark.asyncio

TOPIC_MAX = 1_048_000
"""Bytes of about the longest value that the topic takes uncompressed (`message.max.bytes`)."""
Headers = list[tuple[str, bytes | None]]


async def send(
    harness: Harness, *records: tuple[bytes | None, Headers], compression: str | None = None
) -> None:
    """Each as a batch of its own."""
    producer = AIOKafkaProducer(
        **connection_options(harness.stores),
        compression_type=compression,
        max_request_size=16 * 1024 * 1024,
    )
    await producer.start()
    try:
        for value, headers in records:
            harness.sent.append(value or b"")
            await producer.send_and_wait(harness.topic, value, partition=0, headers=headers)
    finally:
        await producer.stop()


async def letters(harness: Harness, begin: int) -> list[tuple[bytes | None, dict[str, bytes]]]:
    """Values and headers of all dead letters from an offset on."""
    where = TopicPartition(DEAD_LETTERS_TOPIC, 0)
    consumer = AIOKafkaConsumer(**connection_options(harness.stores), group_id=None)
    await consumer.start()
    try:
        consumer.assign([where])
        consumer.seek(where, begin)
        end = (await consumer.end_offsets([where]))[where]
        found = []
        while await consumer.position(where) < end:
            record = await consumer.getone()
            found.append((record.value, dict(record.headers)))
        return found
    finally:
        await consumer.stop()


async def letters_end(harness: Harness) -> int:
    where = TopicPartition(DEAD_LETTERS_TOPIC, 0)
    consumer = AIOKafkaConsumer(**connection_options(harness.stores), group_id=None)
    await consumer.start()
    try:
        return int((await consumer.end_offsets([where]))[where])
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    "compression",
    ["zstd", *(pytest.param(one, marks=second_tier) for one in ("gzip", "lz4", "snappy"))],
)
async def test_tags_are_counted_however_they_are_compressed(
    harness: Harness, compression: str
) -> None:
    await send(harness, *((body, []) for body in bodies(60)), compression=compression)
    async with Running(harness) as running:
        await running.until_done()
    harness.assert_exact()


async def test_null_headers_are_dead_letters_and_those_after_them_are_counted(
    harness: Harness,
) -> None:
    begin = await letters_end(harness)
    good = bodies(20, every=1_000)
    await send(harness, (good[0], [("format", None)]), (b"[]", [("request_id", None)]))
    await harness.send_bodies(good)
    async with Running(harness) as running:
        await running.until_done()
    harness.assert_exact(good)
    assert [value for value, _ in await letters(harness, begin)] == [good[0], b"[]"]


async def test_of_a_letter_that_would_be_too_long_the_beginning_is_kept(harness: Harness) -> None:
    begin = await letters_end(harness)
    junk, blown_up = os.urandom(TOPIC_MAX), bytes(5 * 1024 * 1024)
    wordy: Headers = [("request_id", b"one"), ("x", os.urandom(TOPIC_MAX)), ("y", b"")]
    good = bodies(20, every=1_000)
    await send(harness, (junk, []), (b"{", wordy))
    await send(harness, (blown_up, []), compression="gzip")
    await harness.send_bodies(good)
    async with Running(harness) as running:
        await running.until_done()
    harness.assert_exact(good)
    first, second, third = await asyncio.wait_for(letters(harness, begin), 30)
    assert first[0] == junk[:MAX_VALUE]
    assert (first[1]["truncated"], first[1]["offset"]) == (str(len(junk)).encode(), b"0")
    assert second[0] == b"{"
    assert (second[1]["request_id"], "x" in second[1]) == (b"one", False)
    assert third[0] == blown_up[:MAX_VALUE]
