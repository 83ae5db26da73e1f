"""A subscription in a background process."""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from setup.local.folder import CHECKOUT
from tests.webpanel.options import SubscriptionOptions

QUIET_S = 5.0
"""Seconds without a drop that count as normal."""
DRAIN_S = 200.0
"""Longest that the queries may take that remain when the stream ends."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at a moment of the monotonic clock (s).

    ``dropped``: tags and profile queries. ``tags_5xx``: tags answered with 5xx. ``timed_out``:
    those of the dropped that had no answer in time. Of queries: how many were asked, answered
    right, and refused or not answered in time.
    """

    at_s: float
    state: str
    sent: int
    dropped: int
    wrong: int
    tags_5xx: int = 0
    timed_out: int = 0
    p99_ms: float = 0.0
    """Of tags answered in the last complete second; 0 if there was none."""
    profiles_asked: int = 0
    profiles_right: int = 0
    profiles_unanswered: int = 0
    aggregates_asked: int = 0
    aggregates_right: int = 0
    aggregates_unanswered: int = 0

    @property
    def refused(self) -> int:
        """Those of the dropped that were refused, cut off, or without a connection in time."""
        return self.dropped - self.timed_out

    def counters(self) -> dict[str, dict[str, int]]:
        """In the shape of a report's, as far as they are known: for a load that never reports."""
        return {
            "tags": {"sent": self.sent},
            "profiles": {"sent": self.profiles_asked},
            "aggregates": {"sent": self.aggregates_asked},
            "profile_answers": {
                "ok": self.profiles_right,
                "unanswered": self.profiles_unanswered,
            },
            "aggregate_answers": {
                "ok": self.aggregates_right,
                "unanswered": self.aggregates_unanswered,
            },
        }


@dataclass(frozen=True)
class LoadResult:
    """Result of a subscription."""

    options: SubscriptionOptions
    report: dict[str, Any]
    outcomes: bytes
    samples: Sequence[Sample]


class RunningLoad:
    """Starts the load; `finish` ends the stream and waits for the remaining queries."""

    def __init__(self, options: SubscriptionOptions, folder: Path) -> None:
        """``folder`` must exist; outcomes and report are written there."""
        self.options = options
        self.samples: list[Sample] = []
        self._folder = folder
        self._process = subprocess.Popen(
            (sys.executable, "-m", "tests.faults.load", json.dumps(asdict(options)), str(folder)),
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A session of its own gets its own share of the processor (autogroups): clients would
            # run on another machine, and must not be delayed by health checks.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.samples.append(Sample(**json.loads(line)))

    @property
    def running(self) -> bool:
        """Whether tags are being sent."""
        return bool(self.samples) and self.samples[-1].state == "running" and self.alive

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def finish(self, drain_s: float = DRAIN_S) -> LoadResult:
        """End the stream, and wait for the remaining queries.

        Raises:
            RuntimeError: the load failed.
            TimeoutExpired: of subprocess, after ``drain_s``.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(drain_s)
        finally:
            self.kill()
        if status:
            raise RuntimeError(f"the load ended with exit status {status}")
        report = json.loads((self._folder / "report.json").read_text())
        outcomes = (self._folder / "outcomes").read_bytes()
        return LoadResult(self.options, report, outcomes, tuple(self.samples))

    def kill(self) -> None:
        """Kill its process, if it runs; its output stays."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def dropped_since(samples: Sequence[Sample], moment_s: float) -> int:
    """Number of tags and profile queries dropped since a moment (monotonic s)."""
    before = [sample.dropped for sample in samples if sample.at_s <= moment_s]
    return samples[-1].dropped - (before[-1] if before else 0)


def seconds_until_normal(
    samples: Sequence[Sample], injected_s: float, healed_s: float
) -> float | None:
    """Seconds from the injection to the last drop before `QUIET_S` without any.

    0 if nothing was dropped; None if it never was quiet. Quiet time counts from ``healed_s`` on,
    as the effect of a lasting fault may be delayed.
    """
    normal_s, dropped = injected_s, None
    for sample in samples:
        if sample.at_s < injected_s or dropped is None:
            dropped = sample.dropped
        elif sample.dropped > dropped:
            normal_s, dropped = sample.at_s, sample.dropped
        elif sample.at_s - max(normal_s, healed_s) >= QUIET_S:
            return normal_s - injected_s
    return None
