"""Every metric that the platform exports, once, and how the code tells of them.

The catalogue is made of typed constants, so a misspelt name fails the type check. Names carry
their unit; a counter ends in ``_total``. Label values come from small fixed sets (stores, Kafka
partitions, kinds of refusals), never from requests.

Ray puts ``ray_`` before each name; `exported` says what a scrape shows.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from typing_extensions import override


# Compared by identity: each is one object, and hashing all fields would cost a microsecond.
@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What all kinds have in common."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Counter(Metric):
    """Only grows; what counts is how fast."""


class Gauge(Metric):
    """A value as it is now."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram(Metric):
    """A distribution; ``buckets`` are upper bounds in the unit of the name."""

    buckets: tuple[float, ...] = ()


_STORE_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_FLUSH_BUCKETS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_WAIT_BUCKETS: Final = (0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60)

# --- case12: requests ------------------------------------------------------------------------
TAGS_ACCEPTED: Final = Counter(
    "user_tags_accepted_total", "Tags answered with 204: they are in the log."
)
REQUESTS_REFUSED: Final = Counter(
    "user_tags_requests_refused_total",
    "Requests answered with a problem document; reason is the kind of problem.",
    ("endpoint", "status", "reason"),
)
OVERLOAD_REFUSED: Final = Counter(
    "user_tags_overload_refused_total",
    "Tags and profile queries refused before they were looked at: more than the replica can do.",
)
QUERIES_ANSWERED: Final = Counter(
    "user_tags_queries_answered_total", "Queries answered with 200.", ("endpoint",)
)
AGGREGATE_WAITS: Final = Counter(
    "user_tags_aggregate_waits_total",
    "Aggregate queries that could not be answered at once: the tables were not far enough.",
)
PROFILE_WAITS: Final = Counter(
    "user_tags_profile_waits_total",
    "Profile queries that could not be answered at once: a shard was behind or did not answer.",
)
AGGREGATE_WAIT_SECONDS: Final = Histogram(
    "user_tags_aggregate_wait_seconds",
    "How long aggregate queries waited before the read that decided them; normally 0.",
    buckets=_WAIT_BUCKETS,
)

# --- case12: stores --------------------------------------------------------------------------
STORE_SECONDS: Final = Histogram(
    "user_tags_store_seconds",
    "Time that a store took for one batch of tags or one query.",
    ("store", "operation"),
    buckets=_STORE_BUCKETS,
)
STORE_UP: Final = Gauge(
    "user_tags_store_up",
    "1 if the store answers this replica, all its shards included; else 0.",
    ("store",),
)
TAGS_WAITING: Final = Gauge("user_tags_waiting_tags", "Tags of this replica that wait for the log.")
PRODUCERS_REPLACED: Final = Counter(
    "user_tags_producers_replaced_total", "Kafka producers given up after a failure."
)
LOG_END_OFFSET: Final = Gauge(
    "user_tags_log_end_offset", "Next offset of the topic user_tags.", ("partition",)
)

# --- case3: partitions -----------------------------------------------------------------------
PARTITION_STATE: Final = Gauge(
    "user_tags_partition_state",
    "1 for the state that the partition's actor is in, 0 for the others.",
    ("partition", "state"),
)
NEXT_OFFSET: Final = Gauge(
    "user_tags_next_offset", "Offset up to which the tables are counted.", ("partition",)
)
LAG_RECORDS: Final = Gauge(
    "user_tags_lag_records",
    "Records in the log that were not counted at the actor's last look.",
    ("partition",),
)
WATERMARK_TIMESTAMP: Final = Gauge(
    "user_tags_watermark_timestamp_seconds",
    "Newest event time in the tables, Unix time; time() minus this is the watermark's age.",
    ("partition",),
)
LAST_FLUSH_TIMESTAMP: Final = Gauge(
    "user_tags_last_flush_timestamp_seconds",
    "When the actor last committed a flush, Unix time.",
    ("partition",),
)
FLUSH_SECONDS: Final = Histogram(
    "user_tags_flush_seconds", "Duration of a committed flush.", ("partition",), _FLUSH_BUCKETS
)
ROWS_WRITTEN: Final = Counter(
    "user_tags_written_rows_total", "Rows sent to aggregates and rollups.", ("partition",)
)
TAGS_COUNTED: Final = Counter(
    "user_tags_counted_total", "Tags in committed flushes.", ("partition",)
)
LATE_TAGS: Final = Counter(
    "user_tags_late_total",
    "Tags older than what the tables keep, which were left out.",
    ("partition",),
)
CAPPED_NAMES: Final = Counter(
    "user_tags_capped_names_total",
    "Names met past the dictionary's cap, each once a flush.",
    ("partition",),
)
DICTIONARY_NAMES: Final = Gauge(
    "user_tags_dictionary_names",
    "Names of one dimension that have an id: those of the hours that are kept.",
    ("dimension",),
)
DICTIONARY_MAX_NAMES: Final = Gauge(
    "user_tags_dictionary_max_names", "Names of one dimension that can have an id at a time."
)
NAMES_RETIRED: Final = Counter(
    "user_tags_names_retired_total",
    "Names that left the dictionary with the last kept hour that had them.",
)
DEAD_LETTERS: Final = Counter(
    "user_tags_dead_letters_total",
    "Records that could not be read, by the topic that they came from.",
    ("topic",),
)
CONFLICTS: Final = Counter(
    "user_tags_flush_conflicts_total",
    "Flushes dropped because another instance had moved the offset.",
    ("partition",),
)
MISSING_OFFSETS: Final = Counter(
    "user_tags_missing_offsets_total",
    "Offsets that the log did not have between two records.",
    ("partition",),
)

# --- case3: the profile view -----------------------------------------------------------------
PROFILE_LAG_RECORDS: Final = Gauge(
    "user_tags_profile_lag_records",
    "Records in the log that a shard's position did not cover at the feed's last look.",
    ("partition", "shard"),
)
PROFILE_FEEDS: Final = Gauge(
    "user_tags_profile_feeds",
    "Feeds of the partition by state: one per shard, and one more while slots arrive there.",
    ("partition", "state"),
)
PROFILE_TAGS_APPLIED: Final = Counter(
    "user_tags_profile_applied_total",
    "Tags applied to profiles from the log; after a fail-over some are applied again.",
    ("partition",),
)
PROFILE_CONFLICTS: Final = Counter(
    "user_tags_profile_conflicts_total",
    "Pipelines dropped because a shard's position was not the one that the feed started from.",
    ("partition",),
)
PROFILE_LOST_SHARDS: Final = Gauge(
    "user_tags_profile_lost_shards",
    "Shards that lost more of the partition than the log still has: their profiles are refused.",
    ("partition",),
)

CATALOGUE: Final[tuple[Metric, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Metric)
)
PREFIX: Final = "ray_"


def exported(metric: Metric) -> tuple[str, ...]:
    """Names of the series of ``metric`` in Ray's export."""
    name = PREFIX + metric.name
    if isinstance(metric, Histogram):
        return (f"{name}_bucket", f"{name}_sum", f"{name}_count")
    return (name,)


class Recorder(Protocol):
    """Where the code tells what happens; each call costs less than a microsecond or so.

    ``labels`` are values in the order of the metric's ``labels``.
    """

    def add(self, metric: Counter, amount: int, *labels: str) -> None:
        """``amount`` more, 0 included."""

    def set(self, metric: Gauge, value: float, *labels: str) -> None:
        """The value from now on."""

    def forget(self, metric: Gauge, *labels: str) -> None:
        """No value from now on: what the labels name is gone."""

    def observe(self, metric: Histogram, value: float, *labels: str) -> None:
        """One more sample."""


class NoRecorder(Recorder):
    """Forgets everything: the default where nobody looks."""

    @override
    def add(self, metric: Counter, amount: int, *labels: str) -> None:
        pass

    @override
    def set(self, metric: Gauge, value: float, *labels: str) -> None:
        pass

    @override
    def forget(self, metric: Gauge, *labels: str) -> None:
        pass

    @override
    def observe(self, metric: Histogram, value: float, *labels: str) -> None:
        pass


class Totals:
    """Tells a recorder of counts that are kept elsewhere as totals since the start."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._told: dict[tuple[Counter, tuple[str, ...]], int] = {}

    def tell(self, metric: Counter, total: int, *labels: str) -> None:
        """``total`` so far; the recorder gets what was added since the last time."""
        key = (metric, labels)
        self._recorder.add(metric, total - self._told.get(key, 0), *labels)
        self._told[key] = total
