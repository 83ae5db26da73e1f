"""The status of a partition actor, as ``/case3/status`` shows it."""

from dataclasses import asdict, dataclass
from typing import Any

from serve_app.core.timestamps import format_tag_time

STARTING = "starting"
RUNNING = "running"
STAND_BY = "standing by: another instance works on this partition"


@dataclass(slots=True)
class PartitionStatus:
    """Figures of one partition since this instance started; offsets are absolute."""

    partition: int
    state: str = STARTING
    """``starting``, ``running``, ``waiting: …``, ``standing by: …`` or ``failed: …``."""
    offset: int | None = None
    """Next offset, as committed."""
    log_end: int | None = None
    watermark_ms: int | None = None
    last_flush_at_ms: int | None = None
    """Wall clock, epoch ms."""
    last_flush_rows: int = 0
    last_flush_ms: float = 0.0
    """Duration of the last flush."""
    rows: int = 0
    tags: int = 0
    """Counted, without late ones."""
    late: int = 0
    """Tags older than what the tables keep (see ``retention``), which were left out."""
    dead_letters: int = 0
    capped_names: int = 0
    """Names past the dictionary's cap, counted once per flush: queries for them are refused."""
    conflicts: int = 0
    gaps: int = 0
    """Offsets missing between two records of the log; normally 0."""
    error: str | None = None
    """The last error, kept until the next committed flush."""

    def document(self) -> dict[str, Any]:
        """Plain JSON types; times as ISO strings in UTC."""
        content = asdict(self)
        flushed = content.pop("last_flush_at_ms")
        content["last_flush"] = None if flushed is None else format_tag_time(flushed, fraction=True)
        content["watermark"] = (
            None if self.watermark_ms is None else format_tag_time(self.watermark_ms, fraction=True)
        )
        content["lag"] = (
            None
            if self.log_end is None or self.offset is None
            else max(0, self.log_end - self.offset)
        )
        return content


def silent_partition(partition: int, state: str, error: str | None = None) -> dict[str, Any]:
    """The document of a partition whose actor does not answer."""
    return PartitionStatus(partition=partition, state=state, error=error).document()
