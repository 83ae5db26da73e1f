"""What a partition tells of itself."""

from types import SimpleNamespace
from typing import cast

import pytest

from actors.aggregates.name_metrics import NameMetrics
from actors.aggregates.retired_names import NamesStatus
from actors.aggregates.status import RUNNING, STAND_BY, PartitionStatus
from actors.profiles.status import IDLE, STANDBY, FeedStatus
from actors.profiles.view import ProfileView
from actors.serve.metrics import FEED_STATES, STATES, PartitionMetrics
from serve_app.core.metrics import (
    DEAD_LETTERS,
    DICTIONARY_MAX_NAMES,
    DICTIONARY_NAMES,
    FLUSH_SECONDS,
    LAG_RECORDS,
    NAMES_RETIRED,
    NEXT_OFFSET,
    PARTITION_STATE,
    PROFILE_CONFLICTS,
    PROFILE_FEEDS,
    PROFILE_LAG_RECORDS,
    PROFILE_LOST_SHARDS,
    PROFILE_TAGS_APPLIED,
    TAGS_COUNTED,
    WATERMARK_TIMESTAMP,
)
from serve_app.core.names import USER_TAGS_TOPIC
from tests.fakes.recorder import MemoryRecorder


def profiles(*feeds: FeedStatus, applied: int = 0, conflicts: int = 0) -> ProfileView:
    """As far as the metrics look at it."""
    view = SimpleNamespace(statuses=list(feeds), applied=applied, conflicts=conflicts)
    return cast(ProfileView, view)


def feed(shard: str, offset: int | None = None, *, state: str = "running") -> FeedStatus:
    """A main lane of a log that ends at 100."""
    return FeedStatus(shard, state=state, offset=offset, log_end=100)


def state_of(recorder: MemoryRecorder) -> list[str]:
    values = {s: recorder.values[PARTITION_STATE, ("2", s)] for s in STATES}
    return [state for state, value in values.items() if value]


def lags(recorder: MemoryRecorder) -> dict[str, float]:
    """By shard."""
    return {
        labels[1]: value
        for (gauge, labels), value in recorder.values.items()
        if gauge == PROFILE_LAG_RECORDS
    }


def test_a_new_actor_tells_its_state_and_no_offset() -> None:
    recorder = MemoryRecorder()

    PartitionMetrics(recorder, PartitionStatus(2), profiles()).collect()

    assert state_of(recorder) == ["starting"]
    assert (NEXT_OFFSET, ("2",)) not in recorder.values
    assert lags(recorder) == {}
    # There from the start, or nobody would see the first one.
    assert recorder.counts[DEAD_LETTERS, (USER_TAGS_TOPIC,)] == 0
    assert recorder.counts[PROFILE_CONFLICTS, ("2",)] == 0
    assert recorder.values[PROFILE_LOST_SHARDS, ("2",)] == 0


def test_figures_follow_the_status() -> None:
    recorder, status = MemoryRecorder(), PartitionStatus(2, state=RUNNING)
    metrics = PartitionMetrics(recorder, status, profiles())
    status.offset, status.log_end, status.watermark_ms = 90, 100, 1_646_092_800_500
    status.tags, status.dead_letters, status.last_flush_ms = 88, 2, 40.0

    metrics.flushed()
    metrics.collect()
    status.tags = 89
    metrics.collect()

    assert state_of(recorder) == [RUNNING]
    assert recorder.values[LAG_RECORDS, ("2",)] == 10
    assert recorder.values[WATERMARK_TIMESTAMP, ("2",)] == 1_646_092_800.5
    assert recorder.counts[TAGS_COUNTED, ("2",)] == 89
    assert recorder.counts[DEAD_LETTERS, (USER_TAGS_TOPIC,)] == 2
    assert recorder.samples == {(FLUSH_SECONDS, ("2",)): [0.04]}


def test_every_state_has_its_first_words() -> None:
    for text, name in (
        ("waiting: Kafka: away", "waiting"),
        (STAND_BY, "standing by"),
        ("failed: the topic was replaced", "failed"),
    ):
        recorder = MemoryRecorder()
        PartitionMetrics(recorder, PartitionStatus(2, state=text), profiles()).collect()
        assert state_of(recorder) == [name]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("starting", "starting"),
        ("running", "running"),
        (IDLE, "idle"),
        ("waiting: Redis node a:1 is down", "waiting"),
        (STANDBY, "standby"),
        ("failed: out of memory", "failed"),
    ],
)
def test_every_state_of_a_feed_has_its_first_word(text: str, name: str) -> None:
    recorder = MemoryRecorder()
    view = profiles(feed("a:1", state=text), feed("b:1", state=text))
    PartitionMetrics(recorder, PartitionStatus(2), view).collect()
    assert {
        state: recorder.values[PROFILE_FEEDS, ("2", state)] for state in FEED_STATES
    } == dict.fromkeys(FEED_STATES, 0) | {name: 2}


def test_a_shard_lags_as_far_as_the_slower_of_its_lanes() -> None:
    recorder = MemoryRecorder()
    arrivals = FeedStatus("a:1", arrivals=True, offset=30, log_end=100)
    view = profiles(feed("a:1", 90), arrivals, feed("b:1", 100), feed("c:1"))
    PartitionMetrics(recorder, PartitionStatus(2), view).collect()
    assert lags(recorder) == {"a:1": 70, "b:1": 0, "c:1": 0}


def test_a_shard_that_is_gone_leaves_no_lag_behind() -> None:
    recorder, status = MemoryRecorder(), PartitionStatus(2)
    view = profiles(feed("a:1", 90), feed("b:1", 80))
    metrics = PartitionMetrics(recorder, status, view)
    metrics.collect()
    assert lags(recorder) == {"a:1": 10, "b:1": 20}
    view.statuses.pop()
    metrics.collect()
    assert lags(recorder) == {"a:1": 10}
    # It comes back, and goes again.
    view.statuses.append(feed("b:1", 70))
    metrics.collect()
    assert lags(recorder) == {"a:1": 10, "b:1": 30}


def test_shards_that_lost_something_are_counted_once_each() -> None:
    recorder = MemoryRecorder()
    lost = [feed("a:1"), FeedStatus("a:1", arrivals=True), feed("b:1"), feed("c:1")]
    for one in lost[:3]:
        one.since = 5
    PartitionMetrics(recorder, PartitionStatus(2), profiles(*lost)).collect()
    assert recorder.values[PROFILE_LOST_SHARDS, ("2",)] == 2


def test_totals_of_the_profile_view_go_on_counting() -> None:
    recorder, status = MemoryRecorder(), PartitionStatus(2)
    view = profiles(applied=5, conflicts=1)
    metrics = PartitionMetrics(recorder, status, view)
    metrics.collect()
    vars(view)["applied"] = 8
    metrics.collect()
    assert recorder.counts[PROFILE_TAGS_APPLIED, ("2",)] == 8
    assert recorder.counts[PROFILE_CONFLICTS, ("2",)] == 1


def test_the_dictionary_by_dimension() -> None:
    recorder, status = MemoryRecorder(), NamesStatus(100_000)
    metrics = NameMetrics(recorder, status)
    metrics.collect()
    assert not any(metric is DICTIONARY_NAMES for metric, _ in recorder.values)
    assert recorder.values[DICTIONARY_MAX_NAMES, ()] == 100_000
    status.names, status.retired = {1: 7, 2: 0, 3: 9}, 5
    metrics.collect()
    assert recorder.values[DICTIONARY_NAMES, ("origin",)] == 7
    assert recorder.values[DICTIONARY_NAMES, ("brand_id",)] == 0
    assert recorder.values[DICTIONARY_NAMES, ("category_id",)] == 9
    assert recorder.counts[NAMES_RETIRED, ()] == 5
