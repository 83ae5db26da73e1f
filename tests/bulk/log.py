"""``python -m tests.bulk.log TAGS``: append the stream until the log holds ``TAGS`` tags.

Adds only what is missing, so it can be stopped and restarted at any time; nothing else may have
written to the topic. Prints nothing; `ends` shows the progress.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from aiokafka import AIOKafkaProducer

from serve_app.core.names import FORMAT_HEADER, FORMAT_JSON_V1, USER_TAGS_TOPIC
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import connection_options
from tests.bulk.hours import BLOCK_TAGS, HOUR_TAGS, PARTITIONS, hour_bodies, partition_end
from tests.log_ends import log_ends

_HEADERS: Final = [(FORMAT_HEADER, FORMAT_JSON_V1)]
_BLOCKS_UNDER_WAY: Final = 3
_BATCH_BYTES: Final = 1_000_000


Blocks = Callable[[int, int], Iterator[tuple[int, list[bytes]]]]
"""From (first, stop), tags: number of the first tag and bodies of each block that has some."""


async def fill(stores: Settings, tags: int, stream: Blocks | None = None) -> None:
    """Append until the log holds the first ``tags`` of the stream; by default `blocks`."""
    there = await log_ends(stores.kafka_bootstrap)
    if all(there[number] >= partition_end(tags, number) for number in there):
        return
    producer = AIOKafkaProducer(
        **{**connection_options(stores), "request_timeout_ms": 30_000},
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES,
    )
    await producer.start()
    try:
        under_way: list[asyncio.Future[object]] = []
        # The first tag that is missing in some partition.
        first = min(offset * PARTITIONS + number for number, offset in there.items())
        for at, block in (stream or blocks)(first, tags):
            for number in range(PARTITIONS):
                # Blocks begin at multiples of the number of partitions.
                missing = max(0, there[number] - at // PARTITIONS)
                values = block[number::PARTITIONS][missing:]
                if values:
                    under_way.append(await _send(producer, number, values))
            while len(under_way) > _BLOCKS_UNDER_WAY * PARTITIONS:
                await under_way.pop(0)
        await asyncio.gather(*under_way)
    finally:
        await producer.stop()


def blocks(first: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first tag, bodies) of each block with tags ``first`` to ``stop``."""
    for hour in range(first // HOUR_TAGS, -(-stop // HOUR_TAGS)):
        hour_first = max(0, first - hour * HOUR_TAGS) // BLOCK_TAGS * BLOCK_TAGS
        hour_stop = min(HOUR_TAGS, stop - hour * HOUR_TAGS)
        bodies = hour_bodies(hour, hour_first, hour_stop)
        for at in range(hour_first, hour_stop, BLOCK_TAGS):
            yield hour * HOUR_TAGS + at, list(islice(bodies, BLOCK_TAGS))


async def _send(
    producer: AIOKafkaProducer, partition: int, values: Sequence[bytes]
) -> "asyncio.Future[object]":
    batch = producer.create_batch()
    now_ms = int(time.time() * 1000)
    for value in values:
        appended = batch.append(key=None, value=value, timestamp=now_ms, headers=_HEADERS)
        assert appended, "a block's third is larger than a batch"
    sent: asyncio.Future[object] = await producer.send_batch(
        batch, USER_TAGS_TOPIC, partition=partition
    )
    return sent


if __name__ == "__main__":
    asyncio.run(fill(Settings(), int(sys.argv[1])))
