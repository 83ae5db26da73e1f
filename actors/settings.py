"""The actors' own settings, read from environment variables that start with ``TAGS_ACTOR_``.

Addresses of the stores are in ``serve_app.core.settings``; these are about behaviour.
"""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ActorSettings(BaseSettings):
    """Immutable. ``TAGS_ACTOR_FLUSH_INTERVAL_S`` sets ``flush_interval_s``, and so on."""

    model_config = SettingsConfigDict(env_prefix="TAGS_ACTOR_", frozen=True, extra="forbid")

    # When to flush.
    flush_interval_s: float = Field(default=2.0, gt=0)
    """A tag waits at most this long in memory before its flush starts."""
    flush_rows: int = Field(default=20_000, ge=1)
    """A batch with this many full-key rows is flushed at once. Bounds memory: an actor holds one
    batch being written and one being filled."""
    flush_timeout_s: float = Field(default=20.0, gt=0)
    """Budget of one flush, from the first dead letter to the answer to COMMIT."""
    dead_letter_bytes: int = Field(default=4 * 1024 * 1024, ge=1)
    """A batch with this many bytes of unreadable records is flushed at once."""
    statement_rows: int = Field(default=20_000, ge=1)
    """Rows per INSERT: about 50 bytes each, far below any ``max_allowed_packet``. Few large ones
    are faster, as each answer waits for the event loop."""

    # Reading the log.
    poll_records: int = Field(default=500, ge=1)
    """Records processed in one step: about 4 ms, for which the event loop and so the current flush
    are blocked."""
    fetch_wait_ms: int = Field(default=500, ge=0)
    """Longest wait of a broker before it answers a fetch with less than ``fetch_min_bytes``."""
    fetch_min_bytes: int = Field(default=64 * 1024, ge=1)
    """The broker answers a fetch when it has this much, or after ``fetch_wait_ms``: at low rates
    two fetches per second instead of one per tag."""
    fetch_max_bytes: int = Field(default=4 * 1024 * 1024, ge=1)
    """Most that one fetch brings."""
    shared_records: int = Field(default=4_000, ge=1)
    """Loops of an actor whose offsets are at most this far apart share one consumer. At most twice
    as many records are in memory."""
    log_timeout_s: float = Field(default=5.0, gt=0)
    """Budget of one metadata request to Kafka (topic id, log ends)."""

    log_check_interval_s: float = Field(default=5.0, gt=0)
    """How often an idle actor checks that Kafka and the topic still exist."""

    # When something is wrong.
    retry_s: float = Field(default=1.0, gt=0)
    """Pause after an unavailable store."""
    failed_retry_s: float = Field(default=10.0, gt=0)
    """Pause before a failed partition is retried."""
    stand_by_intervals: int = Field(default=3, ge=1)
    """After a conflict: flush intervals without progress of the stored offset before this instance
    tries again."""
    stuck_after_s: float = Field(default=90.0, gt=0)
    """A loop without a heartbeat for this long fails the health check. Longer than any single wait
    in it: an unavailable store is no reason to restart."""

    # The database sessions of a flush.
    connect_timeout_s: float = Field(default=5.0, gt=0)
    """Time-out for a new connection to the database."""
    wait_timeout_s: int = Field(default=10, ge=1)
    """The server closes a flush session that is idle for this long, and so releases the row lock of
    an actor that hangs between UPDATE and COMMIT."""
    lock_wait_timeout_s: int = Field(default=5, ge=1)
    """How long a flush waits for a row that another actor has locked; then it starts again."""
    position_timeout_s: float = Field(default=8.0, gt=0)
    """Budget for reading or claiming the stored offset; more than the lock wait."""

    # Dictionary.
    dictionary_max_names: int = Field(default=100_000, ge=1)
    """Maximum of names per dimension with an id. A name is removed with the last kept hour that has
    a tag of it, so this is about a day's names. Tags of further names count under id 0, and a
    query for such a name gets 503 while those hours are kept. New names that only tags dated
    more than a day ahead have get half of the ids at most."""

    # Table partitions, one per hour of event time, and retention: actors/aggregates/retention.py.
    hour_min_tags: int = Field(default=1_000, ge=1)
    """An hour with fewer tags gets no table partition of its own."""
    retention_min_tags: int = Field(default=10_000, ge=1)
    """An hour is dropped only if this many tags are newer by a day."""
    hours_ahead: int = Field(default=6, ge=1)
    """Partitions made ahead of the newest hour, which may be three hours behind the newest tag. At
    least three are left: about 5 minutes when a day is counted within one hour."""
    table_partition_interval_s: float = Field(default=5.0, gt=0)
    """How often an actor looks which hours need a table partition, and which can go."""
    ddl_lock_wait_timeout_s: int = Field(default=2, ge=1)
    """A waiting DDL statement holds up every flush behind it, so it must give up quickly."""
    split_max_rows: int = Field(default=1_000_000, ge=0)
    """A partition of a few hours with more rows than this is not split: copying them (about
    100,000 a second) would keep every flush waiting. It is dropped later, as a whole."""

    # The profile view.
    view_poll_records: int = Field(default=1_000, ge=1)
    """Records that a lane processes in one step; bounds its memory, with ``fetch_max_bytes``."""
    view_pipeline_tags: int = Field(default=100, ge=1)
    """Tags per script: blocks a Redis node for up to 2 ms."""
    view_interval_s: float = Field(default=0.5, gt=0)
    """A position advances at least this often while records arrive."""
    view_check_interval_s: float = Field(default=1.0, gt=0)
    """How often a lane checks that the shard still has its position, and for arrived slots."""
    view_node_timeout_s: float = Field(default=2.0, gt=0)
    """Time-out of one script; no request waits for it, so it may be long."""
    view_map_interval_s: float = Field(default=1.0, gt=0)
    """How often the map of the Redis Cluster is refreshed without a sign of a change."""


@lru_cache(maxsize=1)
def actor_settings() -> ActorSettings:
    """The actors' settings of this process, read at the first call."""
    return ActorSettings()
