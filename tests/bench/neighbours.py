"""Noisy neighbours: tags accepted in time and refused while other processes keep cores busy.

`python -m tests.bench.neighbours [--rate 200] [--seconds 60]`: starts its own platform, then sends
tags with zero, one and two busy processes, each in its own session as other programs of a desktop
are (autogroups, sched(7)). So is the sender. Each number of neighbours is run twice, alternating,
as the speed of a machine varies.

Exit status 1 unless with none and one 99.8 % are accepted in time, and with two no more tags are
late than refused, or at most 0.2 %.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from setup.command_line import run_main
from setup.local.machine_load import Usage
from setup.local.platform import Platform
from tests.bench._open_loop import OpenLoop, Outcome
from tests.bench._platform import bench_platform
from tests.results.recording import Recording

NUMBERS: Final = (0, 1, 2)
GOAL: Final = 0.998
_ROUNDS: Final = 2
_WARM_UP_S: Final = 20.0
_BUSY: Final = "while True: pass"

COLUMNS: Final = (
    "busy neighbours",
    "tags",
    "204 in time",
    "503",
    "late",
    "204 p50 / p99, ms",
    "503 p99, ms",
    "cores of the platform / of all others",
)


@contextlib.contextmanager
def neighbours(number: int) -> Iterator[None]:
    """Run busy processes until the end of the context."""
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


@dataclass(frozen=True)
class Run:
    """One run with a number of neighbours."""

    number: int
    outcome: Outcome
    used: Usage

    @property
    def late(self) -> int:
        """Neither accepted nor refused in time."""
        return self.outcome.late + self.outcome.other

    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        o, used = self.outcome, self.used
        return (
            str(self.number),
            f"{o.sent:,}",
            f"{100 * o.accepted / o.sent:.2f} %",
            f"{o.refused:,}",
            f"{self.late:,}",
            f"{o.accepted_s.percentile_ms(50):.0f} / {o.accepted_s.percentile_ms(99):.0f}",
            f"{o.refused_s.percentile_ms(99):.0f}" if o.refused else "",
            f"{used.platform_s / used.clock_s:.2f} / {used.others_s / used.clock_s:.2f}",
        )


async def measure(platform: Platform, rate: float, seconds: float) -> list[Run]:
    """All runs; each is printed at its end."""
    runs = []
    sender = OpenLoop(platform.http_port)
    await sender.run(rate, _WARM_UP_S)
    print(f"| {' | '.join(COLUMNS)} |", flush=True)
    for number in NUMBERS * _ROUNDS:
        with neighbours(number):
            await sender.run(rate, 3)
            before = Usage.now(platform.folder.root)
            outcome, _ = await sender.run(rate, seconds)
            used = Usage.now(platform.folder.root).since(before)
        runs.append(Run(number, outcome, used))
        print(f"| {' | '.join(runs[-1].cells())} |", flush=True)
        await sender.run(rate, 5)
    await sender.close()
    return runs


def record(recording: Recording, runs: list[Run]) -> None:
    """The worst of each number of neighbours decides."""
    recording.table("neighbours", COLUMNS, (run.cells() for run in runs))
    for number in NUMBERS:
        those = [run for run in runs if run.number == number]
        in_time = min(run.outcome.accepted / run.outcome.sent for run in those)
        if number < 2:
            recording.figure(f"in_time_share_beside_{number}", in_time, at_least=GOAL)
        else:
            recording.figure(f"in_time_share_beside_{number}", in_time)
            # Overload should be refused: no more late than refused, or next to none late.
            excess = max(
                run.late - max(run.outcome.refused, (1 - GOAL) * run.outcome.sent) for run in those
            )
            recording.figure(f"late_beyond_refused_beside_{number}", max(0.0, excess), at_most=0)


def main(
    rate: float = 200.0,
    seconds: float = 60.0,
) -> int:
    """Exit status: see above."""
    with contextlib.suppress(PermissionError):
        # A session of its own, as a client would be on another machine.
        os.setsid()
    recording = Recording("neighbours")
    with bench_platform() as platform:
        runs = asyncio.run(measure(platform, rate, seconds))
    record(recording, runs)
    shares = [
        " and ".join(run.cells()[2] for run in runs if run.number == number) for number in NUMBERS
    ]
    kept = recording.finish(
        f"{rate:.0f} tags/s: in time {shares[0]} alone, {shares[1]} beside one busy "
        f"process, {shares[2]} beside two"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
