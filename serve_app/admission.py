"""Overload: a replica whose thread is always busy quickly refuses a share of the requests.

Without a bound, requests queue up (in HAProxy, the accept queue, sockets, the event loop), mostly
where a replica cannot see them, and all of them are answered too late. What a replica can see is
whether its thread ever sleeps: the rest of the time it runs or waits for a processor (Linux counts
both in ``/proc/thread-self/schedstat``, see Documentation/scheduler/sched-stats). While that is
nearly all of the time, the queues grow, however long they are; a little below, they drain. So the
admitted share is multiplied down while the thread is busy, and grows step by step while it is not,
as TCP does with its window (AIMD).

Being busy counts only if it is the replica's own work, with requests waiting, for a while. A thread
that hardly runs is starved by other processes: refusing its few requests helps nobody, least of all
a client that waits for each answer. A burst is better answered late. A stalled store keeps no
thread busy: its tags wait (``ingest_max_waiting``).

Answers must be slow, too. Where few cores are nearly full, a thread can be busy for seconds and
still answer quickly. HAProxy stamps each request when it hands it on, so the client's whole wait is
known, invisible queues included. While it is short on average, nothing is refused, as in CoDel
(RFC 8289), which measures the time in the queue and not its length.

HAProxy acts first: it hands each replica a few requests at a time and refuses what waits longer
than 0.06 s (``setup/ingress``). This module acts where that is not enough: on a machine so slow
that those few take longer than a client waits, with several HAProxies in front of one replica, or
with none.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from serve_app.core.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

WINDOW_S: Final = 0.1
PATIENCE_S: Final = 0.5
"""A thread is busy for this long before the first refusal: a burst is no overload."""
LONGEST_S: Final = 1.0
"""Longer waits count as this: a few slow clients say nothing about the others."""
FORGIVEN: Final = 4
"""Busy windows that one idle window makes up for: busy means four fifths of the time."""
DOWN: Final = 0.7
"""Factor applied to the share in each busy window."""
UP: Final = 0.05
"""Added to the share in each window that is not busy."""
LEAST: Final = 0.05
"""The share that is always admitted."""


Times = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """When a replica counts as overloaded."""

    max_busy: float = 0.9
    """A window is busy if the thread ran or waited for a processor for more than this share."""
    min_own_work: float = 0.05
    """The share of a busy window in which the thread itself must have run. It is low: on one
    saturated core three replicas, HAProxy and the stores leave each replica 0.1 to 0.2."""
    min_under_way: int = 4
    """Fewer requests in flight than this are no queue: such clients wait for each answer anyway.
    There are about ten at saturation; most of the waiting is where a replica cannot see it."""
    target_s: float = 0.1
    """While answers take no longer than this on average, nothing is refused. 0: not considered."""


class Admission:
    """Which requests are admitted."""

    def __init__(
        self,
        limits: AdmissionLimits | None = None,
        *,
        clock: Clock | None = None,
        times_s: Callable[[], Times] | None = None,
    ) -> None:
        """Admits everything until `start` is called.

        Args:
            limits: may be replaced at any time, as a whole.
            clock: the wall clock of a window.
            times_s: seconds so far in which this thread ran, and waited for a processor.
        """
        self._clock = clock or SystemClock()
        self._times_s = times_s or _times_s
        self.limits = limits or AdmissionLimits()
        self.share = 1.0
        """The share of requests that is admitted."""
        self.refused = 0
        """Requests refused so far."""
        self.under_way = 0
        """Admitted requests that are not answered yet; the caller counts them."""
        self._answered = 0
        self._took_s = 0.0
        self._credit = 0.0
        self._busy_for_s = 0.0
        self._last = (0.0, 0.0, 0.0)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the thread of the running event loop."""
        self._last = (self._clock.monotonic(), *self._times_s())
        self._schedule()

    def stop(self) -> None:
        """Admit everything again."""
        if self._timer is not None:
            self._timer.cancel()
        self.share = 1.0

    def admits(self) -> bool:
        """Whether to admit the next request."""
        if self.share >= 1.0:
            return True
        self._credit += self.share
        if self._credit >= 1.0:
            self._credit -= 1.0
            return True
        self.refused += 1
        return False

    def answered(self, took_s: float) -> None:
        """Record that an admitted request was answered ``took_s`` after the ingress received it."""
        self._answered += 1
        # Not below 0: a clock may be set back.
        self._took_s += min(max(took_s, 0.0), LONGEST_S)

    def look(self) -> None:
        """Adjust the share by how busy the thread was since the last call; the timer calls it."""
        limits = self.limits
        now = (self._clock.monotonic(), *self._times_s())
        passed_s, ran_s, waited_s = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        # The timer of a busy loop fires late: then this is several windows in one.
        window_s = max(passed_s, 1e-6)
        rested = ran_s + waited_s < limits.max_busy * window_s
        # Without an ingress that stamps requests, no answer ever has a duration.
        told = self._answered > 0 and limits.target_s > 0
        soon = told and self._took_s <= limits.target_s * self._answered
        self._answered, self._took_s = 0, 0.0
        others_work = ran_s < limits.min_own_work * window_s
        if rested or soon or others_work or self.under_way < limits.min_under_way:
            self.share = min(1.0, self.share + UP)
            # While slow answers cause refusals, the next busy window counts at once.
            if self.share >= 1.0 or not told:
                self._busy_for_s = max(0.0, self._busy_for_s - FORGIVEN * window_s)
            return
        self._busy_for_s = min(PATIENCE_S, self._busy_for_s + window_s)
        if self._busy_for_s >= PATIENCE_S:
            if self.share >= 1.0:
                logger.warning("overloaded: refusing a share of the requests")
            self.share = max(LEAST, self.share * DOWN ** (window_s / WINDOW_S))

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self._next)

    def _next(self) -> None:
        self.look()
        self._schedule()


def _times_s() -> Times:
    """Constant where the kernel does not count (not Linux): then everything is admitted."""
    try:
        descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return 0.0, 0.0
    try:
        ran_ns, waited_ns, _ = os.read(descriptor, 100).split()
    finally:
        os.close(descriptor)
    return int(ran_ns) / 1e9, int(waited_ns) / 1e9


admission: Final = Admission()
"""One per process, which has one event loop; Ray gives the front no other way to reach it."""
