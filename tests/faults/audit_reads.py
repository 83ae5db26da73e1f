"""Input of the audit: all records of the log since an offset, and answers of the API."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer

from tests.log_ends import tag_partitions
from tests.webpanel.connections import Exchange, Failure, Pool
from tests.webpanel.http_wire import request_bytes, request_head

Answer = tuple[int, bytes]
"""Status (0: none) and body."""

_AT_ONCE: Final = 16
_TIMEOUT_S: Final = 60.0
_TRIES: Final = 3


async def ask_all(host: str, port: int, paths: Sequence[str]) -> list[Answer]:
    """POST each path with an empty body; failures and refusals are retried twice."""
    answers: list[Answer] = [(0, b"")] * len(paths)
    left = list(range(len(paths)))
    for _ in range(_TRIES):
        for index, answer in await _ask(host, port, [(at, paths[at]) for at in left]):
            answers[index] = answer
        left = [at for at in left if answers[at][0] != 200]
        if not left:
            break
        await asyncio.sleep(1)
    return answers


async def _ask(
    host: str, port: int, requests: Sequence[tuple[int, str]]
) -> list[tuple[int, Answer]]:
    answers: list[tuple[int, Answer]] = []
    room = asyncio.Semaphore(_AT_ONCE)

    def answered(exchange: Exchange, status: int, body: bytes) -> None:
        answers.append((exchange.subject, (status, body)))
        room.release()

    def failed(exchange: Exchange, failure: Failure) -> None:
        answers.append((exchange.subject, (0, failure.value.encode())))
        room.release()

    pool = Pool(
        host, port, timeouts_s=(_TIMEOUT_S,), most=_AT_ONCE, on_answer=answered, on_failure=failed
    )
    head = request_head(host, port)
    async with pool.swept():
        for index, path in requests:
            await room.acquire()
            now = time.monotonic()
            pool.send(Exchange(0, index, request_bytes(path.encode(), head, b""), now, now))
        for _ in range(_AT_ONCE):
            await room.acquire()
    return answers


async def read_log(bootstrap: str, begins: Mapping[int, int]) -> tuple[list[bytes], dict[int, int]]:
    """Values of all records from ``begins`` to the current ends, and those ends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="none")
    await consumer.start()
    try:
        partitions = await tag_partitions(consumer)
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for one in partitions:
            consumer.seek(one, begins[one.partition])
        values: list[bytes] = []
        left = {one for one in partitions if begins[one.partition] < ends[one]}
        while left:
            records = await consumer.getmany(*left, timeout_ms=1000)
            for one, some in records.items():
                values += [record.value for record in some if record.offset < ends[one]]
                if some and some[-1].offset >= ends[one] - 1:
                    left.discard(one)
        return values, {one.partition: ends[one] for one in partitions}
    finally:
        await consumer.stop()
