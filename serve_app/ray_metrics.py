"""The metrics of one Ray actor, passed on to Ray's export.

``ray.util.metrics`` costs about 2 µs a call, and may raise. So figures are kept here, where a
call costs a tenth of that and cannot fail, and go to Ray once a second. Ray's agent has them some
seconds later (``RAY_metrics_report_interval_ms``), and forgets gauges of a process that is silent
for two such intervals: a dead actor's gauges are gone, its counters stay.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ray.util import metrics as ray_metrics
from typing_extensions import override

from serve_app.core.metrics import Counter, Gauge, Histogram, Recorder

logger = logging.getLogger(__name__)

PUBLISH_S: Final = 1.0
_Labels = tuple[str, ...]


class RayRecorder(Recorder):
    """A ``Recorder``; one per process."""

    def __init__(self) -> None:
        """Nothing is published until `run`."""
        self._collectors: list[Callable[[], None]] = []
        self._added: dict[tuple[Counter, _Labels], int] = {}
        self._begun: set[tuple[Counter, _Labels]] = set()
        self._samples: list[tuple[Histogram, float, _Labels]] = []
        self._values: dict[tuple[Gauge, _Labels], float] = {}
        self._counters: dict[Counter, ray_metrics.Counter] = {}
        self._gauges: dict[Gauge, ray_metrics.Gauge] = {}
        self._histograms: dict[Histogram, ray_metrics.Histogram] = {}

    def before_publishing(self, collect: Callable[[], None]) -> None:
        """Call ``collect`` before each publication."""
        self._collectors.append(collect)

    @override
    def add(self, metric: Counter, amount: int, *labels: str) -> None:
        key = (metric, labels)
        self._added[key] = self._added.get(key, 0) + amount

    @override
    def set(self, metric: Gauge, value: float, *labels: str) -> None:
        self._values[metric, labels] = value

    @override
    def forget(self, metric: Gauge, *labels: str) -> None:
        self._values.pop((metric, labels), None)

    @override
    def observe(self, metric: Histogram, value: float, *labels: str) -> None:
        self._samples.append((metric, value, labels))

    async def run(self) -> None:
        """Publish until cancelled; errors are logged: no metric is worth a replica."""
        while True:
            await asyncio.sleep(PUBLISH_S)
            try:
                self.publish()
            except Exception:
                logger.exception("metrics could not be published")

    def publish(self) -> None:
        """Publish everything to Ray."""
        for collect in self._collectors:
            collect()
        # Taken out first: what fails half-way is not published twice.
        added, self._added = self._added, {}
        samples, self._samples = self._samples, []
        for (metric, labels), amount in added.items():
            if amount or (metric, labels) not in self._begun:
                # Not `inc`, which refuses 0: a counter that is there before its first event is
                # one whose first event an alert can see.
                tags = dict(zip(metric.labels, labels, strict=True))
                self._counter(metric)._record(amount, tags)
                self._begun.add((metric, labels))
        for histogram, value, labels in samples:
            tags = dict(zip(histogram.labels, labels, strict=True))
            self._histogram(histogram).observe(value, tags)
        # All of them each time: Ray forgets a gauge that is not set again.
        for (gauge, labels), value in self._values.items():
            self._gauge(gauge).set(value, dict(zip(gauge.labels, labels, strict=True)))

    def _counter(self, metric: Counter) -> ray_metrics.Counter:
        if metric not in self._counters:
            self._counters[metric] = ray_metrics.Counter(metric.name, metric.help, metric.labels)
        return self._counters[metric]

    def _gauge(self, metric: Gauge) -> ray_metrics.Gauge:
        if metric not in self._gauges:
            self._gauges[metric] = ray_metrics.Gauge(metric.name, metric.help, metric.labels)
        return self._gauges[metric]

    def _histogram(self, metric: Histogram) -> ray_metrics.Histogram:
        if metric not in self._histograms:
            self._histograms[metric] = ray_metrics.Histogram(
                metric.name, metric.help, list(metric.buckets), metric.labels
            )
        return self._histograms[metric]
