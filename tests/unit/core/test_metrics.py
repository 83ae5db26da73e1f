"""The rules that names of metrics follow, and what the code tells of itself."""

import re
from itertools import pairwise

import pytest

from serve_app.core.metrics import (
    CATALOGUE,
    TAGS_ACCEPTED,
    TAGS_COUNTED,
    Counter,
    Gauge,
    Histogram,
    Metric,
    Totals,
    exported,
)
from tests.fakes.recorder import MemoryRecorder

UNITS = (
    "_seconds",
    "_tags",
    "_names",
    "_records",
    "_offset",
    "_up",
    "_state",
    "_feeds",
    "_shards",
)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"user_tags_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == isinstance(metric, Counter)
    assert isinstance(metric, Counter) or metric.name.endswith(UNITS)
    assert metric.help.endswith(".")
    assert all(re.fullmatch(r"[a-z_]+", label) for label in metric.labels)


@pytest.mark.parametrize(
    "histogram", [m for m in CATALOGUE if isinstance(m, Histogram)], ids=lambda m: m.name
)
def test_buckets_go_up(histogram: Histogram) -> None:
    assert histogram.buckets
    assert all(low < high for low, high in pairwise(histogram.buckets))
    assert histogram.buckets[0] > 0


def test_each_name_stands_once() -> None:
    names = [name for metric in CATALOGUE for name in exported(metric)]

    assert len(names) == len(set(names))


def test_exported_names() -> None:
    assert exported(Counter("a_total", "")) == ("ray_a_total",)
    assert exported(Gauge("a", "")) == ("ray_a",)
    assert exported(Histogram("a", "", (), (1.0,))) == ("ray_a_bucket", "ray_a_sum", "ray_a_count")


def test_totals_tell_what_was_added() -> None:
    recorder = MemoryRecorder()
    totals = Totals(recorder)

    for total in (0, 5, 5, 7):
        totals.tell(TAGS_ACCEPTED, total)
        totals.tell(TAGS_COUNTED, 2 * total, "1")

    assert recorder.counts == {(TAGS_ACCEPTED, ()): 7, (TAGS_COUNTED, ("1",)): 14}
