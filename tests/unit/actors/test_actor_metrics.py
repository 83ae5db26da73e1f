"""What a partition tells of itself."""

from actors.aggregates.name_metrics import NameMetrics
from actors.aggregates.retired_names import NamesStatus
from actors.aggregates.status import RUNNING, STAND_BY, PartitionStatus
from actors.serve.metrics import STATES, PartitionMetrics
from serve_app.core.metrics import (
    DEAD_LETTERS,
    DICTIONARY_MAX_NAMES,
    DICTIONARY_NAMES,
    FLUSH_SECONDS,
    LAG_RECORDS,
    NAMES_RETIRED,
    NEXT_OFFSET,
    PARTITION_STATE,
    TAGS_COUNTED,
    WATERMARK_TIMESTAMP,
)
from serve_app.core.names import USER_TAGS_TOPIC
from tests.recorder import MemoryRecorder


def state_of(recorder: MemoryRecorder) -> list[str]:
    values = {s: recorder.values[PARTITION_STATE, ("2", s)] for s in STATES}
    return [state for state, value in values.items() if value]


def test_a_new_actor_tells_its_state_and_no_offset() -> None:
    recorder = MemoryRecorder()

    PartitionMetrics(recorder, PartitionStatus(2)).collect()

    assert state_of(recorder) == ["starting"]
    assert (NEXT_OFFSET, ("2",)) not in recorder.values
    # There from the start, or nobody would see the first one.
    assert recorder.counts[DEAD_LETTERS, (USER_TAGS_TOPIC,)] == 0


def test_figures_follow_the_status() -> None:
    recorder, status = MemoryRecorder(), PartitionStatus(2, state=RUNNING)
    metrics = PartitionMetrics(recorder, status)
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
        PartitionMetrics(recorder, PartitionStatus(2, state=text)).collect()
        assert state_of(recorder) == [name]


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
