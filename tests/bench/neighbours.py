"""Busy programs of others beside the platform: what is answered in time, and what is refused.

`python -m tests.bench.neighbours [--rate 200] [--seconds 60]`: starts a platform of its own, then
sends tags beside no, one and two processes that never rest, each in a session of its own as other
programs of a desktop are (autogroups, sched(7)). The sender is a session of its own, too. Each
number of neighbours comes twice, in turns, as a machine is not the same for an hour.

Exit status 1 unless beside none and one 99.8 % are accepted in time, and beside two at most as many
are late as are refused, or 0.2 %.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import psutil

from setup.local.machine import Usage, usable_cores
from setup.local.platform import Platform
from tests.bench._open_loop import OpenLoop, Outcome
from tests.bench._platform import bench_platform

NUMBERS: Final = (0, 1, 2)
GOAL: Final = 0.998
_ROUNDS: Final = 2
_WARM_UP_S: Final = 20.0
_BUSY: Final = "while True: pass"

HEAD: Final = (
    "| busy neighbours | tags | 204 in time | 503 | late | 204 p50 / p99 ms | 503 p99 ms "
    "| cores of the platform / of all others |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


@contextlib.contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many, from now to the end."""
    busy = [
        subprocess.Popen((sys.executable, "-c", _BUSY), start_new_session=True)
        for _ in range(number)
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def row(number: int, outcome: Outcome, used: Usage) -> str:
    """One line of the table."""
    o = outcome
    return (
        f"| {number} | {o.sent} | {100 * o.accepted / o.sent:.2f} % | {o.refused} "
        f"| {o.late + o.other} "
        f"| {o.accepted_s.percentile_ms(50):.0f} / {o.accepted_s.percentile_ms(99):.0f} "
        f"| {o.refused_s.percentile_ms(99):.0f} "
        f"| {used.platform_s / used.clock_s:.2f} / {used.others_s / used.clock_s:.2f} |"
    )


def good(number: int, outcome: Outcome) -> bool:
    """Whether it meets the goal."""
    late = outcome.late + outcome.other
    if number < 2:
        return outcome.accepted >= GOAL * outcome.sent
    return late <= max(outcome.refused, (1 - GOAL) * outcome.sent)


async def measure(platform: Platform, rate: float, seconds: float) -> bool:
    """Print the table; whether all goals were met."""
    met = True
    sender = OpenLoop(platform.http_port)
    await sender.run(rate, _WARM_UP_S)
    print(HEAD, flush=True)
    for number in NUMBERS * _ROUNDS:
        with neighbours(number):
            await sender.run(rate, 3)
            before = Usage.now(platform.folder.root)
            outcome, _ = await sender.run(rate, seconds)
            used = Usage.now(platform.folder.root).since(before)
        print(row(number, outcome, used), flush=True)
        met &= good(number, outcome)
        await sender.run(rate, 5)
    await sender.close()
    return met


def main() -> int:
    """Exit status: see above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    with contextlib.suppress(PermissionError):
        # Of a session of its own, as a client on another machine would be.
        os.setsid()
    load = psutil.getloadavg()[0]
    print(f"{usable_cores()} cores, load {load:.2f} at {time.strftime('%H:%M')}", flush=True)
    with bench_platform() as platform:
        return 0 if asyncio.run(measure(platform, arguments.rate, arguments.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
