"""Tracks which tags were settled (acknowledged or dropped) a given time ago."""

from collections import deque


class Horizon:
    """Number of the first tag that was not settled `lag_s` ago.

    Based on samples, so it may be one sample interval late and is never early.
    """

    __slots__ = ("_samples", "index", "lag_s")

    def __init__(self, lag_s: float) -> None:
        """Starts with no tag settled."""
        self.lag_s = lag_s
        self.index = 0
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float, settled: int) -> None:
        """Add a sample: all tags before `settled` are settled at `now` (monotonic s)."""
        samples = self._samples
        samples.append((now, settled))
        while samples[0][0] <= now - self.lag_s:
            self.index = samples.popleft()[1]
            if not samples:
                break
