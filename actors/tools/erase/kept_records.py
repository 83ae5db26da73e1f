"""What the topics keep of a cookie, and until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from actors.log.entries import UnreadableRecord, read_entry
from actors.log.ports import Record
from actors.log.ranges import records_between
from actors.log.topic_reader import TopicReader
from actors.tools.progress import LogProgress
from serve_app.core.timestamps import format_tag_time

UNLIMITED: Final = -1


@dataclass(slots=True)
class KeptRecords:
    """Of one topic."""

    topic: str
    retention_ms: int
    """-1 keeps records for ever."""
    segment_ms: int
    retention_bytes: int = UNLIMITED
    """Of a partition: past it the oldest go sooner."""
    erased_ms: int = 0
    """When the erasure was recorded (epoch ms), which names the cookie itself."""
    records: int | None = None
    """Records before the erasure that name the cookie; None: the topic was not looked through."""
    oldest_ms: int | None = None
    """Arrival, epoch ms."""
    newest_ms: int | None = None

    def add(self, record: Record) -> None:
        """Take in a record that names the cookie."""
        at_ms = record.timestamp_ms
        self.records = (self.records or 0) + 1
        self.oldest_ms = at_ms if self.oldest_ms is None else min(at_ms, self.oldest_ms)
        self.newest_ms = at_ms if self.newest_ms is None else max(at_ms, self.newest_ms)

    @property
    def gone_ms(self) -> int | None:
        """The last record of before the erasure, and the erasure, are gone then; None: never.

        Kafka deletes whole segments, when the newest record of one is older than ``retention.ms``;
        a segment takes records for at most ``segment.ms``.
        """
        if self.retention_ms == UNLIMITED:
            return None
        return self.erased_ms + self.retention_ms + self.segment_ms

    def document(self) -> dict[str, Any]:
        """Plain JSON types; times as ISO strings in UTC."""
        return {
            "topic": self.topic,
            "records": self.records,
            "oldest_arrival": _time(self.oldest_ms),
            "newest_arrival": _time(self.newest_ms),
            "gone_latest": _time(self.gone_ms),
            "retention_ms": self.retention_ms,
            "retention_bytes": self.retention_bytes,
        }


async def find(
    reader: TopicReader,
    cookie: str,
    ends: Mapping[int, int],
    kept: KeptRecords,
    progress: LogProgress,
) -> None:
    """Look through the whole topic, up to ``ends``, for records that name ``cookie``.

    ``reader`` is open. Raises ``LogUnavailable``.
    """
    kept.records = 0
    starts = await reader.begins()
    position = dict(starts)
    async for portion in records_between(reader, starts, ends):
        for partition, record in portion:
            position[partition] = record.offset + 1
            if _names(cookie, record):
                kept.add(record)
        progress.counted(starts, position, ends)


def _names(cookie: str, record: Record) -> bool:
    """Whether the record is a tag or an erasure of the cookie, or unreadable with it inside.

    JSON writes a cookie as its own bytes, or with a backslash somewhere: most records need not be
    decoded.
    """
    value = record.value or b""
    named = cookie.encode() in value
    if not named and b"\\" not in value:
        return False
    try:
        entry = read_entry(record)
    except UnreadableRecord:
        return named
    return cookie == (entry[0].cookie if isinstance(entry, tuple) else entry.cookie)


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_tag_time(at_ms, fraction=True)
