"""One partition of a log in memory, read by as many readers as a test starts."""

import asyncio
from collections.abc import Iterable

from actors.errors import LogUnavailable
from actors.log.ports import LogState, Record
from serve_app.core.erasure import Erasure, encode_erasure
from serve_app.core.names import FORMAT_ERASE_V1, FORMAT_HEADER
from tests.oracle import Tag
from tests.unit.stores.tags import FIRST_MS, encoded

_POLL_S = 0.005


class MemoryLog:
    """Offsets from `begin` to `end`; what is before `begin` is gone."""

    def __init__(self, begin: int = 0) -> None:
        """Empty."""
        self.topic_id = "ab" * 16
        self.begin = begin
        self.first = begin
        """Offset of the first record that was ever there."""
        self.records: list[Record] = []
        self.away = False
        """Kafka does not answer."""
        self.readers: list[MemoryReader] = []

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.first + len(self.records)

    def append(self, *tags: Tag) -> None:
        """As the API would."""
        for tag in tags:
            self.put(encoded(tag))

    def put(self, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        """Any record."""
        self.records.append(Record(self.end, value, FIRST_MS, tuple(headers)))

    def erase(self, cookie: str) -> None:
        """All that the log has of ``cookie`` up to now."""
        value = encode_erasure(Erasure(cookie, {0: self.end}))
        self.put(value, [(FORMAT_HEADER, FORMAT_ERASE_V1)])

    def read(self) -> "MemoryReader":
        """A new reader."""
        self.readers.append(MemoryReader(self))
        return self.readers[-1]


class MemoryReader:
    """See ``actors.log.ports.Log``."""

    def __init__(self, log: MemoryLog) -> None:
        """Knows no offset until `seek`."""
        self._log = log
        self._at = -1
        self.silent = False
        """Hands nothing over until it is closed, as a client that lost its partition."""
        self.closes = 0

    async def state(self) -> LogState:
        """See ``Log``."""
        await asyncio.sleep(0)
        if self._log.away:
            raise LogUnavailable("Kafka is away")
        return LogState(self._log.topic_id, self._log.begin, self._log.end)

    async def seek(self, offset: int) -> None:
        """See ``Log``."""
        self._at = offset

    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        """See ``Log``."""
        log = self._log
        end_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            if log.away:
                raise LogUnavailable("Kafka is away")
            if not log.begin <= self._at <= log.end:
                raise LogUnavailable("out of range")
            first = self._at - log.first
            found = [] if self.silent else log.records[first : first + max_records]
            if found or asyncio.get_running_loop().time() >= end_s:
                self._at += len(found)
                return found
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        """See ``Log``."""
        self.silent = False
        self.closes += 1
