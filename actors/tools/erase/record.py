"""Writes an erasure to the log: one record in each partition of the topic of tags."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from actors.log.kafka_errors import kafka_call
from serve_app.core.erasure import Erasure, encode_erasure
from serve_app.core.names import FORMAT_ERASE_V1, FORMAT_HEADER
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_client, connection_options


async def append_erasure(
    topic: str, erasure: Erasure, partitions: Iterable[int], *, stores: Settings, timeout_s: float
) -> dict[int, int]:
    """Kafka partition → offset of the record, once all in-sync replicas of each have it.

    Raises:
        LogUnavailable: some partition did not acknowledge within ``timeout_s``. The others may
            have the record, and any one of them erases; a second erasure does no harm.
    """
    numbers = tuple(partitions)
    async with kafka_call(topic, timeout_s):
        producer = AIOKafkaProducer(acks="all", **connection_options(stores))
        try:
            await producer.start()
            sent = await asyncio.gather(
                *(
                    producer.send_and_wait(
                        topic,
                        encode_erasure(erasure),
                        partition=number,
                        headers=[(FORMAT_HEADER, FORMAT_ERASE_V1)],
                    )
                    for number in numbers
                )
            )
        finally:
            await close_client(producer.stop(), timeout_s)
    return {number: answer.offset for number, answer in zip(numbers, sent, strict=True)}
