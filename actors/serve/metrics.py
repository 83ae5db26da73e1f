"""The actors' metrics, read from their status."""

from collections import Counter as Tally
from operator import attrgetter
from typing import Final

from actors.aggregates.status import RUNNING, STARTING, PartitionStatus
from actors.profiles.view import ProfileView
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
    PROFILE_CONFLICTS,
    PROFILE_FEEDS,
    PROFILE_LAG_RECORDS,
    PROFILE_LOST_SHARDS,
    PROFILE_TAGS_APPLIED,
    ROWS_WRITTEN,
    TAGS_COUNTED,
    WATERMARK_TIMESTAMP,
    Counter,
    Gauge,
    Recorder,
    Totals,
)
from serve_app.core.names import USER_TAGS_TOPIC

FEED_STATES: Final = ("starting", "running", "idle", "waiting", "standby", "failed")
"""As `STATES`, of the feeds of profiles."""
STATES: Final = (STARTING, RUNNING, "waiting", "standing by", "failed")
"""First words of a state; details follow a colon."""

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

    def __init__(self, recorder: Recorder, status: PartitionStatus, profiles: ProfileView) -> None:
        """``status`` and ``profiles`` are kept up to date by the actor."""
        self._recorder = recorder
        self._totals = Totals(recorder)
        self._status = status
        self._profiles = profiles
        self._partition = str(status.partition)
        self._shards: set[str] = set()
        """Shards whose lag was reported: that of one that goes, a former master, must not stay."""

    def flushed(self) -> None:
        """Report the flush that the status has just recorded."""
        self._recorder.observe(FLUSH_SECONDS, self._status.last_flush_ms / 1000, self._partition)

    def collect(self) -> None:
        """Report everything else."""
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
        self._collect_profiles()

    def _collect_profiles(self) -> None:
        partition, feeds = self._partition, self._profiles.statuses
        states = Tally(feed.state.partition(":")[0] for feed in feeds)
        for state in FEED_STATES:
            self._recorder.set(PROFILE_FEEDS, states[state], partition, state)
        lags: dict[str, int] = {}
        for feed in feeds:
            lags[feed.shard] = max(lags.get(feed.shard, 0), feed.lag or 0)
        for shard, lag in lags.items():
            self._recorder.set(PROFILE_LAG_RECORDS, lag, partition, shard)
        for shard in self._shards - lags.keys():
            self._recorder.forget(PROFILE_LAG_RECORDS, partition, shard)
        self._shards = set(lags)
        lost = {feed.shard for feed in feeds if feed.since}
        self._recorder.set(PROFILE_LOST_SHARDS, len(lost), partition)
        self._totals.tell(PROFILE_TAGS_APPLIED, self._profiles.applied, partition)
        self._totals.tell(PROFILE_CONFLICTS, self._profiles.conflicts, partition)
