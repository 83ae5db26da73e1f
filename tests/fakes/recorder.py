"""A recorder of metrics in memory."""

from serve_app.core.metrics import Counter, Gauge, Histogram


class MemoryRecorder:
    """Checks that each call has the labels of its metric."""

    def __init__(self) -> None:
        self.counts: dict[tuple[Counter, tuple[str, ...]], int] = {}
        self.values: dict[tuple[Gauge, tuple[str, ...]], float] = {}
        self.samples: dict[tuple[Histogram, tuple[str, ...]], list[float]] = {}

    def add(self, metric: Counter, amount: int, *labels: str) -> None:
        assert len(labels) == len(metric.labels)
        assert amount >= 0
        self.counts[metric, labels] = self.counts.get((metric, labels), 0) + amount

    def set(self, metric: Gauge, value: float, *labels: str) -> None:
        assert len(labels) == len(metric.labels)
        self.values[metric, labels] = value

    def forget(self, metric: Gauge, *labels: str) -> None:
        del self.values[metric, labels]

    def observe(self, metric: Histogram, value: float, *labels: str) -> None:
        assert len(labels) == len(metric.labels)
        self.samples.setdefault((metric, labels), []).append(value)
