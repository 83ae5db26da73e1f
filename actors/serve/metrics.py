"""What the actors export, read off their own accounts of themselves."""

from operator import attrgetter
from typing import Final

from actors.aggregates.status import RUNNING, STARTING, PartitionStatus
from actors.profiles.repair import RepairLoop
from actors.profiles.replay import ReplayLoop
from serve_app.core.metrics import (
    CAPPED_NAMES,
    CONFLICTS,
    DEAD_LETTERS,
    FLUSH_SECONDS,
    LAG_RECORDS,
    LAST_FLUSH_TIMESTAMP,
    LATE_TAGS,
    MISSING_OFFSETS,
    NEXT_OFFSET,
    PARTITION_STATE,
    REPAIRS_APPLIED,
    REPLAYS,
    ROWS_WRITTEN,
    TAGS_COUNTED,
    TAGS_REPLAYED,
    WATERMARK_TIMESTAMP,
    Counter,
    Gauge,
    Recorder,
    Totals,
)
from serve_app.core.names import PROFILE_REPAIRS_TOPIC, USER_TAGS_TOPIC

STATES: Final = (STARTING, RUNNING, "waiting", "standing by", "failed")
"""A status says more after a colon; these are its first words."""

_TOTALS: Final[dict[str, Counter]] = {
    "rows": ROWS_WRITTEN,
    "tags": TAGS_COUNTED,
    "late": LATE_TAGS,
    "capped_names": CAPPED_NAMES,
    "conflicts": CONFLICTS,
    "gaps": MISSING_OFFSETS,
}
"""Field of ``PartitionStatus`` → its counter, by partition."""
_SECONDS: Final[dict[str, Gauge]] = {
    "watermark_ms": WATERMARK_TIMESTAMP,
    "last_flush_at_ms": LAST_FLUSH_TIMESTAMP,
}
"""Field of ``PartitionStatus`` in epoch ms → its gauge in seconds, by partition."""


class PartitionMetrics:
    """Of one partition."""

    def __init__(self, recorder: Recorder, status: PartitionStatus) -> None:
        """``status`` is the one that the actor keeps up to date."""
        self._recorder = recorder
        self._totals = Totals(recorder)
        self._status = status
        self._partition = str(status.partition)

    def flushed(self) -> None:
        """Tell of the flush that the status has just taken in."""
        self._recorder.observe(FLUSH_SECONDS, self._status.last_flush_ms / 1000, self._partition)

    def collect(self) -> None:
        """Tell of everything else."""
        status, partition = self._status, self._partition
        now = status.state.partition(":")[0]
        for state in STATES:
            self._recorder.set(PARTITION_STATE, now == state, partition, state)
        if status.offset is not None:
            self._recorder.set(NEXT_OFFSET, status.offset, partition)
            if status.log_end is not None:
                lag = max(0, status.log_end - status.offset)
                self._recorder.set(LAG_RECORDS, lag, partition)
        for field, gauge in _SECONDS.items():
            time_ms = attrgetter(field)(status)
            if time_ms is not None:
                self._recorder.set(gauge, time_ms / 1000, partition)
        for field, counter in _TOTALS.items():
            self._totals.tell(counter, attrgetter(field)(status), partition)
        self._totals.tell(DEAD_LETTERS, status.dead_letters, USER_TAGS_TOPIC)


class RepairMetrics:
    """Of profile repair and replay."""

    def __init__(self, recorder: Recorder, repair: RepairLoop, replay: ReplayLoop | None) -> None:
        """Reads them when asked to."""
        self._totals = Totals(recorder)
        self._repair = repair
        self._replay = replay

    def collect(self) -> None:
        """Tell of what was done."""
        self._totals.tell(REPAIRS_APPLIED, self._repair.applied)
        self._totals.tell(DEAD_LETTERS, self._repair.dead, PROFILE_REPAIRS_TOPIC)
        if self._replay:
            self._totals.tell(REPLAYS, self._replay.replays)
            self._totals.tell(TAGS_REPLAYED, self._replay.replayed)
