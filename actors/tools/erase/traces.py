"""Where a cookie stands in the topics, and until when."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from actors.log.ports import Record
from actors.log.ranges import records_between
from actors.log.reading import UnreadableRecord, read_tag
from actors.log.topic_reader import TopicReader
from actors.tools.progress import LogProgress
from serve_app.core.member import encode_member
from serve_app.core.tag import UserTag
from serve_app.core.timestamps import format_tag_time

UNLIMITED: Final = -1


@dataclass(slots=True)
class Traces:
    """Records of one topic that hold the cookie."""

    topic: str
    retention_ms: int
    """-1 keeps them for ever."""
    segment_ms: int
    retention_bytes: int = UNLIMITED
    """Of a partition: past it the oldest go sooner."""
    records: int = 0
    oldest_ms: int | None = None
    """Arrival, epoch ms."""
    newest_ms: int | None = None
    last: dict[int, int] = field(default_factory=dict)
    """Kafka partition → offset of its last such record."""
    members: dict[str, set[bytes]] = field(default_factory=dict)
    """Action → members of the profile that these records are."""

    def add(self, partition: int, record: Record, tag: UserTag | None) -> None:
        """Take in a record of the cookie; no tag if it is only a record that names it."""
        at_ms = record.timestamp_ms
        self.records += 1
        self.oldest_ms = at_ms if self.oldest_ms is None else min(at_ms, self.oldest_ms)
        self.newest_ms = at_ms if self.newest_ms is None else max(at_ms, self.newest_ms)
        self.last[partition] = record.offset
        if tag is not None:
            self.members.setdefault(tag.action, set()).add(encode_member(tag, tag.time_ms))

    def gone_ms(self) -> tuple[int, int] | None:
        """The last record goes between these times (epoch ms); None for never, or none there.

        Kafka deletes whole segments, when the newest record of one is older than ``retention.ms``;
        a segment takes records for at most ``segment.ms``.
        """
        if self.newest_ms is None or self.retention_ms == UNLIMITED:
            return None
        earliest_ms = self.newest_ms + self.retention_ms
        return earliest_ms, earliest_ms + self.segment_ms

    def document(self) -> dict[str, Any]:
        """Plain JSON types; times as ISO strings in UTC."""
        gone = self.gone_ms()
        return {
            "topic": self.topic,
            "records": self.records,
            "oldest_arrival": _time(self.oldest_ms),
            "newest_arrival": _time(self.newest_ms),
            "gone_earliest": _time(gone[0]) if gone else None,
            "gone_latest": _time(gone[1]) if gone else None,
            "retention_ms": self.retention_ms,
            "retention_bytes": self.retention_bytes,
        }


async def find(
    reader: TopicReader, cookie: str, until_ms: int, traces: Traces, progress: LogProgress
) -> None:
    """Look through the whole topic for records of ``cookie`` that arrived by ``until_ms``.

    ``reader`` is open. Raises ``LogUnavailable``.
    """
    starts, ends = await reader.begins(), await reader.ends()
    position = dict(starts)
    async for portion in records_between(reader, starts, ends):
        for partition, record in portion:
            position[partition] = record.offset + 1
            if record.timestamp_ms <= until_ms:
                for tag in _of(cookie, record):
                    traces.add(partition, record, tag)
        progress.counted(starts, position, ends)


def _of(cookie: str, record: Record) -> Iterator[UserTag | None]:
    """The tag in one element if the record is the cookie's, None if it cannot be read, or nothing.

    JSON writes a cookie as its own bytes, or with a backslash somewhere: most records need not be
    decoded.
    """
    value = record.value or b""
    named = cookie.encode() in value
    if not named and b"\\" not in value:
        return
    try:
        tag = read_tag(record)
    except UnreadableRecord:
        if named:
            yield None
        return
    if tag.cookie == cookie:
        yield tag


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_tag_time(at_ms, fraction=True)
