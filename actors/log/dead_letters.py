"""The dead-letter topic: a record's value (or its beginning), why it is no tag, where it stands."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from typing_extensions import override

from actors.errors import DeadLettersUnavailable, LogUnavailable
from actors.log.kafka_errors import kafka_call
from actors.log.ports import DeadLetter, DeadLetters
from serve_app.core.names import (
    DEAD_LETTERS_TOPIC,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    REQUEST_ID_HEADER,
    TRUNCATED_HEADER,
)
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import close_clients, connection_options

logger = logging.getLogger(__name__)

MAX_VALUE: Final = 512 * 1024
"""Bytes of a letter's value. A record may be as long as the topic allows, and much longer once
unpacked; its letter must fit in any case, or the partition stops at it. The log has the whole."""
MAX_HEADERS: Final = 64 * 1024
"""Bytes of names and values of the record's own headers; those that do not fit are left out."""


class KafkaDeadLetters(DeadLetters):
    """Produces with ``acks=all``; connects at the first letter, and again after each failure.

    Not idempotent on purpose: a letter twice does no harm, and an idempotent producer of aiokafka
    that lost a batch fails for good (docs/architecture.md, C7).
    """

    def __init__(self, partition: int, *, stores: Settings, timeout_s: float) -> None:
        """``timeout_s`` is the budget of one `send`."""
        self._partition = str(partition).encode()
        self._options = connection_options(stores)
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None

    @override
    async def send(self, letters: Sequence[DeadLetter]) -> None:
        try:
            async with kafka_call(DEAD_LETTERS_TOPIC, self._timeout_s):
                if self._producer is None:
                    producer = AIOKafkaProducer(
                        **self._options,
                        acks="all",
                        enable_idempotence=False,
                        linger_ms=5,
                        max_request_size=2 * 1024 * 1024,
                    )
                    self._producer = producer
                    await producer.start()
                sent = [await self._send_one(self._producer, letter) for letter in letters]
                await asyncio.gather(*sent)
        except LogUnavailable as error:
            await self.close()
            raise DeadLettersUnavailable(f"topic {DEAD_LETTERS_TOPIC}: {error}") from error
        if letters:
            # One line for all: a producer that writes one of them may write thousands.
            first = letters[0]
            logger.warning(
                "%d records sent to %s, the first from offset %d: %s",
                len(letters),
                DEAD_LETTERS_TOPIC,
                first.record.offset,
                first.reason,
                extra={"request_id": _request_id(first)},
            )

    async def _send_one(
        self, producer: AIOKafkaProducer, letter: DeadLetter
    ) -> "asyncio.Future[object]":
        value = letter.record.value
        cut = []
        if value is not None and len(value) > MAX_VALUE:
            cut.append((TRUNCATED_HEADER, str(len(value)).encode()))
            value = value[:MAX_VALUE]
        acknowledged: asyncio.Future[object] = await producer.send(
            DEAD_LETTERS_TOPIC,
            value=value,
            key=self._partition,
            headers=[
                (REASON_HEADER, letter.reason.encode()),
                (PARTITION_HEADER, self._partition),
                (OFFSET_HEADER, str(letter.record.offset).encode()),
                *cut,
                *_headers_that_fit(letter),
            ],
        )
        return acknowledged

    @override
    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_clients(self._timeout_s, producer.stop(), producer.client.close())


def _headers_that_fit(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    kept, left = [], MAX_HEADERS
    for name, value in letter.record.headers:
        left -= len(name.encode()) + len(value or b"")
        if left < 0:
            break
        kept.append((name, value))
    return kept


def _request_id(letter: DeadLetter) -> str:
    """Of the request that brought the record, as Serve's log lines have it; or a dash."""
    ids = (value for name, value in letter.record.headers if name == REQUEST_ID_HEADER)
    return (next(ids, None) or b"-").decode(errors="backslashreplace")
