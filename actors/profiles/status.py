"""The status of a feed; part of ``/case3/status``."""

from dataclasses import dataclass
from typing import Any, Final

STARTING: Final = "starting"
RUNNING: Final = "running"
STANDBY: Final = "standby: another instance moves this position"
IDLE: Final = "idle"
"""Of the arrivals lane: no slot has come from another shard."""


@dataclass(slots=True)
class FeedStatus:
    """One lane of one shard; offsets are absolute."""

    shard: str
    arrivals: bool = False
    state: str = STARTING
    """``starting``, ``running``, ``idle``, ``waiting: …``, ``standby: …`` or ``failed: …``."""
    offset: int | None = None
    """Next offset, as stored in the shard."""
    log_end: int | None = None
    slots: int = 0
    """How many slots the position covers."""
    since: int = 0
    """Above 0: the shard lost what the log no longer has; offsets before this are unknown."""
    applied: int = 0
    """Tags written by this instance."""
    erased: int = 0
    """Erasures carried out by this instance."""
    conflicts: int = 0
    error: str | None = None

    @property
    def lag(self) -> int | None:
        """Records that the position does not cover, as of the last look at the log."""
        if self.offset is None or self.log_end is None:
            return None
        return max(0, self.log_end - self.offset)

    def document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "shard": self.shard,
            "lane": "arrivals" if self.arrivals else "main",
            "state": self.state,
            "offset": self.offset,
            "log_end": self.log_end,
            "lag": self.lag,
            "slots": self.slots,
            "lost_before": self.since or None,
            "applied": self.applied,
            "erased": self.erased,
            "conflicts": self.conflicts,
            "error": self.error,
        }
