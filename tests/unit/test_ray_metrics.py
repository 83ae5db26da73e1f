"""What reaches ``ray.util.metrics``, and when; what Ray makes of it is in ``tests/metrics``."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from serve_app import ray_metrics
from serve_app.core.metrics import Counter, Gauge, Histogram
from serve_app.ray_metrics import RayRecorder

COUNTER = Counter("c_total", "", ("a", "b"))
GAUGE = Gauge("g", "", ("a",))
HISTOGRAM = Histogram("h_seconds", "", ("a",), (1.0, 2.0))

Call = tuple[str, float, dict[str, str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every call of Ray's classes, in order."""
    made: list[Call] = []

    def kind(method: str) -> Any:
        def new(name: str, *arguments: object) -> Any:
            return SimpleNamespace(**{method: lambda v, tags: made.append((name, v, tags))})

        return new

    fake = SimpleNamespace(Counter=kind("_record"), Gauge=kind("set"), Histogram=kind("observe"))
    monkeypatch.setattr(ray_metrics, "ray_metrics", fake)
    return made


def test_counts_go_together_and_once(calls: list[Call]) -> None:
    recorder = RayRecorder()
    for _ in range(3):
        recorder.add(COUNTER, 2, "x", "y")
    assert not calls

    recorder.publish()
    recorder.publish()

    assert calls == [("c_total", 6, {"a": "x", "b": "y"})]


def test_a_counter_is_there_before_its_first_event(calls: list[Call]) -> None:
    recorder = RayRecorder()
    for _ in range(2):
        recorder.add(COUNTER, 0, "x", "y")
        recorder.publish()

    assert calls == [("c_total", 0, {"a": "x", "b": "y"})]


def test_gauges_are_told_again_and_again(calls: list[Call]) -> None:
    recorder = RayRecorder()
    recorder.set(GAUGE, 1, "x")
    recorder.set(GAUGE, 2, "x")
    recorder.publish()
    recorder.publish()

    assert calls == [("g", 2, {"a": "x"})] * 2
    recorder.forget(GAUGE, "x")
    recorder.forget(GAUGE, "y")
    recorder.publish()
    assert calls == [("g", 2, {"a": "x"})] * 2


def test_each_sample_goes_once(calls: list[Call]) -> None:
    recorder = RayRecorder()
    recorder.observe(HISTOGRAM, 1.5, "x")
    recorder.observe(HISTOGRAM, 2.5, "y")
    assert not calls

    recorder.publish()
    recorder.publish()

    assert calls == [("h_seconds", 1.5, {"a": "x"}), ("h_seconds", 2.5, {"a": "y"})]


def test_a_label_too_few_fails_where_nobody_is_hurt(calls: list[Call]) -> None:
    recorder = RayRecorder()
    recorder.observe(HISTOGRAM, 1.5)
    recorder.add(COUNTER, 1, "x", "y")

    with pytest.raises(ValueError, match="shorter"):
        recorder.publish()
    recorder.publish()

    assert calls == [("c_total", 1, {"a": "x", "b": "y"})]


async def test_an_error_does_not_end_it(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_metrics, "PUBLISH_S", 0.0)
    recorder, times = RayRecorder(), 0
    twice = asyncio.Event()

    def collect() -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise RuntimeError("a bug")
        twice.set()

    recorder.before_publishing(collect)
    running = asyncio.create_task(recorder.run())
    await asyncio.wait_for(twice.wait(), 5)
    running.cancel()
