"""A latency histogram with fixed buckets: constant memory, percentiles within 1/32.

HdrHistogram works alike; its Python port takes twice as long per latency
(docs/notes/2026-11-28-web-panel-libraries.md).
"""

from math import ceil

_SUB_BITS = 5
_SUB = 1 << _SUB_BITS
_BUCKETS = _SUB * 30  # up to about 2**34 microseconds


def bucket_of(us: int) -> int:
    """Bucket of a latency in microseconds: exact below 64 us, then 32 buckets an octave."""
    if us < 2 * _SUB:
        return us if us > 0 else 0
    shift = us.bit_length() - _SUB_BITS - 1
    return min((shift << _SUB_BITS) + (us >> shift), _BUCKETS - 1)


def bucket_top(bucket: int) -> int:
    """The highest latency in microseconds that falls into the bucket."""
    if bucket < 2 * _SUB:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return ((bucket - (shift << _SUB_BITS) + 1) << shift) - 1


class LatencyHistogram:
    """Counts of latencies. Values come in as seconds, percentiles go out as milliseconds."""

    __slots__ = ("_counts", "count", "max_s")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.max_s = 0.0

    def record(self, seconds: float) -> None:
        """Count one latency; a negative one counts as 0."""
        self._counts[bucket_of(int(seconds * 1e6))] += 1
        self.count += 1
        if seconds > self.max_s:
            self.max_s = seconds

    def merge(self, other: "LatencyHistogram") -> None:
        """Add the other's counts to this one."""
        if not other.count:
            return
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.max_s = max(self.max_s, other.max_s)

    def percentile_ms(self, percent: float) -> float:
        """The percentile in milliseconds, at most 1/32 too high; 0 if empty."""
        wanted = ceil(self.count * percent / 100)
        if not wanted:
            return 0.0
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(bucket_top(bucket) / 1e3, self.max_s * 1e3)
        return self.max_s * 1e3

    def summary_ms(self) -> dict[str, float]:
        """p50, p90, p99, p99.9 and max in milliseconds, and the count."""
        figures = {
            f"p{percent:g}": round(self.percentile_ms(percent), 3) for percent in (50, 90, 99, 99.9)
        }
        return {**figures, "max": round(self.max_s * 1e3, 3), "count": self.count}
