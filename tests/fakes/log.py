"""One partition of a log in memory, read by as many readers as a test starts."""

import asyncio
from collections.abc import Iterable
from typing import Final

from actors.errors import LogUnavailable
from actors.log.ports import LogState, Record
from serve_app.core.clock import Clock, SystemClock
from serve_app.core.erasure import Erasure, encode_erasure
from serve_app.core.names import FORMAT_ERASE_V1, FORMAT_HEADER
from tests.oracle import Tag
from tests.tags import FIRST_MS, encoded

TOPIC_ID: Final = "ab" * 16
_SYSTEM_CLOCK: Final = SystemClock()


class MemoryLog:
    """Offsets from `begin` to `end`; those before `begin` are deleted."""

    def __init__(
        self, begin: int = 0, clock: Clock = _SYSTEM_CLOCK, *, poll_s: float = 0.005
    ) -> None:
        """A reader without records polls every ``poll_s`` seconds of ``clock``."""
        self.clock = clock
        self.poll_s = poll_s
        self.topic_id = TOPIC_ID
        self.begin = begin
        self.first = begin
        """Offset of the first record ever appended."""
        self.records: list[Record] = []
        self.away = False
        """Kafka does not answer."""
        self.readers: list[MemoryReader] = []

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.first + len(self.records)

    def append(self, *tags: Tag) -> None:
        """Append tags as the API would."""
        for tag in tags:
            self.put(encoded(tag))

    def put(self, *values: bytes | None, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        """Append any records."""
        for value in values:
            self.records.append(Record(self.end, value, FIRST_MS, tuple(headers)))

    def erase(self, cookie: str) -> None:
        """Append an erasure of all that the log has of ``cookie``."""
        value = encode_erasure(Erasure(cookie, {0: self.end}))
        self.put(value, headers=[(FORMAT_HEADER, FORMAT_ERASE_V1)])

    def read(self) -> "MemoryReader":
        """A new reader."""
        self.readers.append(MemoryReader(self))
        return self.readers[-1]


class MemoryReader:
    """See ``actors.log.ports.Log``."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.at = -1
        """Offset of the next record to return."""
        self.fetches = 0
        self.silent = False
        """Returns nothing until it is closed, like a client that lost its partition."""
        self.closes = 0

    async def state(self) -> LogState:
        await asyncio.sleep(0)
        if self._log.away:
            raise LogUnavailable("Kafka is away")
        return LogState(self._log.topic_id, self._log.begin, self._log.end)

    async def seek(self, offset: int) -> None:
        self.at = offset

    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        log = self._log
        self.fetches += 1
        end_s = log.clock.monotonic() + timeout_s
        await log.clock.sleep(0)
        while True:
            if log.away:
                raise LogUnavailable("Kafka is away")
            if not log.begin <= self.at <= log.end:
                raise LogUnavailable("out of range")
            first = self.at - log.first
            found = [] if self.silent else log.records[first : first + max_records]
            left_s = end_s - log.clock.monotonic()
            if found or left_s <= 0:
                self.at += len(found)
                return found
            await log.clock.sleep(min(log.poll_s, left_s))

    async def close(self) -> None:
        self.silent = False
        self.closes += 1
