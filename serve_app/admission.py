"""Too much to do: a replica that never gets to rest refuses a share of the requests, quickly.

Without a bound every request waits in some queue (HAProxy, the accept queue, sockets, the event
loop), most of them where a replica cannot see it, and all are answered too late. What a replica
can see is whether its thread ever sleeps: the time in which it ran or waited for a processor
(Linux counts both in ``/proc/thread-self/schedstat``, see Documentation/scheduler/sched-stats).
While that is nearly all of the time the queues grow, whatever their lengths; a little below, they
empty. So the share that is admitted is multiplied down while the thread is busy, and steps up
while it is not, as TCP does with its window (AIMD).

It has to be its own work, with requests waiting, and for a while: a thread that hardly runs is kept
from the processor by others, and refusing what little it is asked for would help nobody, a client
that waits for each answer least of all; and a burst is better answered late. A store that stalls
keeps nobody busy: its tags wait (``ingest_max_waiting``).

And answers must take long. Where few cores are nearly full a thread runs or waits for one all the
time for seconds, and still answers soon. Where HAProxy says when it handed a request on, what the
client waited is known, queues that nobody sees included: while that is short on average nothing is
refused, as in CoDel (RFC 8289), whose measure is the stay in the queue and not its length.

HAProxy comes first: it hands each replica a few requests at a time, and refuses what waits longer
than 0.06 s (``setup/ingress``). What is here acts where that is not enough: on a machine so slow
that what it has been handed takes longer than its client waits, with several HAProxies before one
replica, or with none.
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
"""So long a thread is busy before the first refusal: a burst is no overload."""
LONGEST_S: Final = 1.0
"""A longer wait counts as this: a few clients that send slowly say nothing of the others."""
FORGIVEN: Final = 4
"""Windows of work that one with rest in it makes up for: busy means four fifths of the time."""
DOWN: Final = 0.7
"""Factor to the share, each busy window."""
UP: Final = 0.05
"""Added to the share, each window with some rest in it."""
LEAST: Final = 0.05
"""The share that is admitted in any case."""


Times = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """When a replica counts as overloaded."""

    max_busy: float = 0.9
    """The share of a window above which it is a busy one."""
    min_own_work: float = 0.05
    """The share of a window that a busy thread must have run. It is low: on one saturated core
    three replicas, HAProxy and the stores leave each replica 0.1 to 0.2."""
    min_under_way: int = 4
    """Fewer requests under way are no queue: such clients wait for their answers anyway. There are
    about ten at saturation, as most that wait do so where a replica cannot see them."""
    target_s: float = 0.1
    """While answers take no longer than this on average, nothing is refused. 0: not considered."""


class Admission:
    """The share of requests that may come in, and which of them."""

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
        """Of the requests, that is admitted."""
        self.refused = 0
        """Requests refused so far."""
        self.under_way = 0
        """Requests that were admitted and are not answered; counted by the caller."""
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
        """Whether the next request may come in."""
        if self.share >= 1.0:
            return True
        self._credit += self.share
        if self._credit >= 1.0:
            self._credit -= 1.0
            return True
        self.refused += 1
        return False

    def answered(self, took_s: float) -> None:
        """A request that was admitted is answered, so long after the ingress had it."""
        self._answered += 1
        # And a clock may be set back.
        self._took_s += min(max(took_s, 0.0), LONGEST_S)

    def look(self) -> None:
        """What the timer does: see how busy the thread was, and adjust the share."""
        limits = self.limits
        now = (self._clock.monotonic(), *self._times_s())
        passed_s, ran_s, waited_s = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        # A loop with much to do comes late: then this is several windows in one.
        window_s = max(passed_s, 1e-6)
        rested = ran_s + waited_s < limits.max_busy * window_s
        # None may have been answered, and without an ingress that tells there is none ever.
        told = self._answered > 0 and limits.target_s > 0
        soon = told and self._took_s <= limits.target_s * self._answered
        self._answered, self._took_s = 0, 0.0
        others_work = ran_s < limits.min_own_work * window_s
        if rested or soon or others_work or self.under_way < limits.min_under_way:
            self.share = min(1.0, self.share + UP)
            # While some are refused by what answers take, the next long window counts at once.
            if self.share >= 1.0 or not told:
                self._busy_for_s = max(0.0, self._busy_for_s - FORGIVEN * window_s)
            return
        self._busy_for_s = min(PATIENCE_S, self._busy_for_s + window_s)
        if self._busy_for_s >= PATIENCE_S:
            if self.share >= 1.0:
                logger.warning("too much to do: refusing a share of the requests")
            self.share = max(LEAST, self.share * DOWN ** (window_s / WINDOW_S))

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self._next)

    def _next(self) -> None:
        self.look()
        self._schedule()


def _times_s() -> Times:
    """Never grows where the kernel does not count (not Linux): then everything is admitted."""
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
"""Of this process: it has one event loop, and Ray gives the front no other way to reach it."""
