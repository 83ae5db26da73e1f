"""Overload: tags answered in time and refused at up to twice the capacity.

`python -m tests.bench.overload`: starts its own platform on one core (the sender has another, as it
would fall behind on a shared one), finds the capacity (the highest rate fully answered within the
contract's 200 ms), then sends 1, 1.5 and 2 times that, first with the rule of `serve_app.admission`
and then with it switched off (by ``user_config``). After each run, a quarter of the capacity shows
how many seconds the platform takes to recover. Memory is that of all replicas and HAProxy.

Exit status 1 unless, with the rule and at twice the capacity, 99 % of what is not refused is
answered in time, refusals take at most 200 ms, and the platform recovers within 5 s.
"""

import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from setup.command_line import run_main
from setup.local.leftovers import marked_processes
from setup.local.platform import Platform
from tests.bench._open_loop import OpenLoop, Outcome
from tests.bench._platform import bench_platform
from tests.bench._processes import part_of
from tests.bench._serve_config import write_variant
from tests.results.recording import Recording

FACTORS: Final = (1.0, 1.5, 2.0)
GOAL_IN_TIME: Final = 0.99
GOAL_BACK_S: Final = 5
_OFF: Final = {"ingest_max_busy": 2.0}
_CALM_S: Final = 10
_WARM_UP_S: Final = 45
_WHOLE: Final = 0.999


@dataclass
class Run:
    """A run at one rate, and the recovery after it."""

    rule: str
    factor: float
    rate: float
    outcome: Outcome
    back_s: int | None
    """Seconds at the low rate until all was answered in time; None: not within `_CALM_S`."""
    memory_mib: tuple[float, float]
    """Before the run, and the maximum during it."""

    def record(self, recording: Recording) -> None:
        """The figures that have bounds."""
        refused_p99_ms = self.outcome.refused_s.percentile_ms(99)
        # None (never recovered) is worse than any time.
        back_s = _CALM_S + 1 if self.back_s is None else self.back_s
        recording.figure("in_time_share_2x", self.outcome.in_time, at_least=GOAL_IN_TIME)
        recording.figure("refused_p99_ms_2x", refused_p99_ms, at_most=200)
        recording.figure("back_to_normal_s_2x", back_s, at_most=GOAL_BACK_S)

    def cells(self) -> tuple[str, ...]:
        """A row of the result's table, with the figures of `row`."""
        return tuple(cell.strip() for cell in self.row().strip("|").split("|"))

    def row(self) -> str:
        """A row of the table."""
        o = self.outcome
        return (
            f"| {self.rule} | {self.factor:g} x | {self.rate:.0f} | {o.accepted / o.seconds:.0f} "
            f"| {100 * o.in_time:.1f} % | {100 * o.refused / o.sent:.1f} % "
            f"| {100 * (o.late + o.other) / o.sent:.1f} % "
            f"| {o.accepted_s.percentile_ms(50):.0f} / {o.accepted_s.percentile_ms(99):.0f} "
            f"| {o.refused_s.percentile_ms(50):.0f} / {o.refused_s.percentile_ms(99):.0f} "
            f"| {'-' if self.back_s is None else self.back_s} "
            f"| {self.memory_mib[0]:.0f} -> {self.memory_mib[1]:.0f} |"
        )


HEAD: Final = (
    "| rule | load | tags/s | 204 in time, a second | of those not refused | 503 | late "
    "| 204 p50 / p99 ms | 503 p50 / p99 ms | back to normal, s | memory MiB |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


class Bench:
    """The platform, the sender, and the processes whose memory is measured."""

    def __init__(self, platform: Platform, sender: OpenLoop, seconds: float) -> None:
        """``seconds``: duration of each rate."""
        self._sender = sender
        self._seconds = seconds
        self._processes = [
            process
            for process in marked_processes(platform.folder.root)
            if part_of(process) in ("replica", "HAProxy")
        ]

    async def capacity(self, first: float, step: float) -> float:
        """The highest rate that is fully answered, searched upwards."""
        rate = first
        while await self._is_answered(rate):
            rate += step
        return rate - step

    async def _is_answered(self, rate: float) -> bool:
        """Whether one of three tries succeeds: each is short, and other load may disturb it."""
        for _ in range(3):
            outcome, _ = await self._sender.run(rate, self._seconds / 2)
            share = outcome.accepted / outcome.sent
            print(f"  {rate:.0f}/s: {100 * share:.2f} % accepted in time", flush=True)
            if share >= _WHOLE:
                return True
            await asyncio.sleep(2)
        return False

    async def run(self, rule: str, factor: float, rate: float, calm_rate: float) -> Run:
        """Send at ``rate``, then at the low rate."""
        before = self._memory_mib()
        sending = asyncio.create_task(self._sender.run(rate, self._seconds))
        most = before
        while not sending.done():
            await asyncio.wait([sending], timeout=1.0)
            most = max(most, self._memory_mib())
        outcome, _ = sending.result()
        _, calm = await self._sender.run(calm_rate, _CALM_S)
        normal = [second.accepted == second.sent for second in calm]
        back_s = next((at for at in range(len(normal)) if all(normal[at:])), None)
        return Run(rule, factor, rate, outcome, back_s, (before, most))

    def _memory_mib(self) -> float:
        total = 0
        for process in self._processes:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20


async def measure(
    platform: Platform, file: Path, *, first: float, step: float, capacity: float, duration_s: float
) -> list[Run]:
    """Print the table; returns all runs, those with the rule first.

    ``capacity`` 0: search upwards from ``first`` in steps.
    """
    sender = OpenLoop(platform.http_port)
    bench = Bench(platform, sender, duration_s)
    runs: list[Run] = []
    try:
        # The first tags are slow: Java has not compiled the broker yet.
        await sender.run(first / 2, _WARM_UP_S)
        capacity = capacity or await bench.capacity(first, step)
        print(f"capacity: {capacity:.0f} tags/s\n{HEAD}", flush=True)
        for rule, settings in (("on", {}), ("off", _OFF)):
            write_variant(file, user_config=settings)
            await asyncio.to_thread(platform.deploy)
            await asyncio.sleep(5)
            for factor in FACTORS:
                runs.append(await bench.run(rule, factor, factor * capacity, capacity / 4))
                print(runs[-1].row(), flush=True)
    finally:
        await sender.close()
    print(f"this sender's own lag: p99 {runs[-1].outcome.lag_s.percentile_ms(99):.1f} ms")
    return runs


def main(
    first: Annotated[float, typer.Option(help="First rate to try, tags per second.")] = 600.0,
    step: Annotated[float, typer.Option(help="How much to raise it by.")] = 200.0,
    capacity: Annotated[float, typer.Option(help="Skip the search; 0: search.")] = 0.0,
    duration: Annotated[float, typer.Option(help="Seconds at each rate.")] = 15.0,
) -> int:
    """Start, measure, stop."""
    recording = Recording("overload")
    platforms_core, senders_core, *_ = sorted(os.sched_getaffinity(0))
    # Inherited by what is started here.
    os.sched_setaffinity(0, {platforms_core})
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "serve_config.yaml"
        write_variant(file)
        with bench_platform(serve_config=file) as platform:
            os.sched_setaffinity(0, {senders_core})
            runs = asyncio.run(
                measure(
                    platform, file, first=first, step=step, capacity=capacity, duration_s=duration
                )
            )
    os.sched_setaffinity(0, {platforms_core, senders_core})
    twice = runs[len(FACTORS) - 1]
    twice.record(recording)
    columns = [cell.strip() for cell in HEAD.splitlines()[0].strip("|").split("|")]
    recording.table("rates", columns, [run.cells() for run in runs])
    back = "not back to normal" if twice.back_s is None else f"normal after {twice.back_s} s"
    kept = recording.finish(
        f"at twice the capacity {100 * twice.outcome.in_time:.1f} % of what is not refused is "
        f"answered in time, refusals p99 {twice.outcome.refused_s.percentile_ms(99):.0f} ms, {back}"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
