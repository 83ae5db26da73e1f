"""Latency of tags while a Redis master is stopped: tags do not wait for Redis.

`python -m tests.bench.redis_stopped [--rate 200] [--duration 20] [--rounds 3]` runs Web Panel
subscriptions against its own platform, alternating between all Redis nodes running and one master
stopped (SIGSTOP) throughout. Exit status 1 if the tags' p99 of the stopped runs is more than 1.5
times that of the others (medians of the rounds), if more tags were dropped, or if an answer was
wrong.
"""

import os
import signal
import statistics
import sys
import time
from typing import Annotated, Final

import typer

from setup.command_line import run_main
from setup.local.platform import Platform
from tests.bench._panel import PanelRun, wrong
from tests.bench._platform import bench_platform
from tests.results.recording import Recording

GOAL_RATIO: Final = 1.5
_SETTLE_S: Final = 12
"""Seconds after the node resumes until profiles are answered as before."""


def main(
    rate: Annotated[int, typer.Option(help="User tags per second.")] = 200,
    duration: Annotated[int, typer.Option(help="Seconds of each run.")] = 20,
    rounds: int = 3,
) -> int:
    """Measure both in turn and print."""
    recording = Recording("redis-stopped")
    p99_ms: dict[str, list[float]] = {"running": [], "stopped": []}
    dropped: dict[str, int] = {"running": 0, "stopped": 0}
    wrong_answers = 0
    with bench_platform() as platform:
        pid = _first_master(platform)
        for number in range(-1, 2 * rounds):
            side = "stopped" if number % 2 and number > 0 else "running"
            if side == "stopped":
                os.kill(pid, signal.SIGSTOP)
            try:
                # A day of event time apart, so that runs do not share tags.
                start = f"2022-03-{number + 2:02d}T00:00:00Z"
                with PanelRun(
                    platform.http_port, rate=rate, duration_s=duration, start=start
                ) as panel:
                    report = panel.report()
            finally:
                os.kill(pid, signal.SIGCONT)
            if side == "stopped":
                time.sleep(_SETTLE_S)
            if number < 0:
                continue  # warm-up
            p99_ms[side].append(report["latency_ms"]["user_tags"]["p99"])
            tags = report["counters"]["tags"]
            dropped[side] += tags["sent"] - tags["status_2xx"]
            wrong_answers += wrong(report)
            print(f"{side}: p99 {p99_ms[side][-1]:.1f} ms", file=sys.stderr, flush=True)
    median_ms = {side: statistics.median(values) for side, values in p99_ms.items()}
    ratio = median_ms["stopped"] / median_ms["running"]
    recording.figure("p99_ratio", round(ratio, 2), at_most=GOAL_RATIO)
    recording.figure("p99_running_ms", round(median_ms["running"], 1))
    recording.figure("p99_stopped_ms", round(median_ms["stopped"], 1))
    recording.figure("tags_dropped_running", dropped["running"])
    recording.figure("tags_dropped_stopped", dropped["stopped"])
    recording.figure("wrong", wrong_answers, at_most=0)
    headline = (
        f"tags' p99 with a Redis master stopped: {median_ms['stopped']:.1f} ms, "
        f"{ratio:.2f} times that without"
    )
    print(headline)
    return 0 if recording.finish(headline) else 1


def _first_master(platform: Platform) -> int:
    pid = platform.supervisor.states()["redis-1"].pid
    assert pid
    return pid


if __name__ == "__main__":
    run_main(main, __doc__)
