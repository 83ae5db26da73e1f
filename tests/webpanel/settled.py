"""Which tags were settled (acknowledged or given up) a given time ago."""

from collections import deque


class Horizon:
    """Number of the first tag that was not settled `lag_s` ago.

    All tags before it were settled at least `lag_s` before now. Fed with samples, so it may
    be one sample interval late and is never early.
    """

    __slots__ = ("_samples", "index", "lag_s")

    def __init__(self, lag_s: float) -> None:
        """Nothing is settled yet; `lag_s` in seconds."""
        self.lag_s = lag_s
        self.index = 0
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float, settled: int) -> None:
        """All tags before `settled` are settled at `now` (seconds, monotonic)."""
        samples = self._samples
        samples.append((now, settled))
        while samples[0][0] <= now - self.lag_s:
            self.index = samples.popleft()[1]
            if not samples:
                break
