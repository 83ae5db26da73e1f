"""The table of faults, and chaos; exit status 1 unless every bound is kept."""

import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from setup.local.folder import CHECKOUT
from tests.faults.catalogue import FAULTS, Fault
from tests.faults.fault_platform import fault_platform, impossible
from tests.faults.runner import Runner
from tests.faults.table_row import Row, markdown, record, skipped_row, write
from tests.results.recording import Recording

RUNS: Final = CHECKOUT / ".run"
RATES: Final = {"table": 150.0, "chaos": 100.0}
"""User tags per second. Chaos runs for half an hour at varying machine speed, and restarting
actors need two thirds of a core on top of the load: docs/performance.md,
"A small machine"."""
_RATES_TEXT: Final = ", ".join(f"{what} {rate:g}" for what, rate in RATES.items())


@dataclass(frozen=True)
class FaultRun:
    """Arguments of a table or of chaos."""

    stack: str
    rate: float
    seed: int
    out: Path

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.out.with_suffix(".logs")


def table(
    faults: Sequence[Fault],
    root: Path,
    given: FaultRun,
    keep: Callable[[list[Row]], None],
) -> list[Row]:
    """Run each fault on its own; those that need small disks or a proxy share a platform.

    ``keep`` gets the rows so far after each fault, as a table may be interrupted.
    """
    rows = [skipped_row(f.name, reason) for f in faults if (reason := impossible(f))]
    skipped = {row.name for row in rows}
    able = [fault for fault in faults if fault.name not in skipped]
    special = [fault for fault in able if fault.small_disk or fault.cut_off]
    shared = [fault for fault in able if fault not in special]
    for group, logs in ((shared, "shared"), (special, "special")):
        if not group:
            continue
        disks = {fault.small_disk for fault in group if fault.small_disk}
        cut_off = any(fault.cut_off for fault in group)
        folder = given.logs / logs
        with fault_platform(
            root, given.stack, logs=folder, cut_off=cut_off, small_disks=disks
        ) as running:
            runner = Runner(running, rate=given.rate, seed=given.seed)
            for fault in group:
                print(f"{time.strftime('%H:%M:%S')} {fault.name}", flush=True)
                rows.append(runner.one(fault))
                show(rows[-1])
                keep(rows)
    return rows


def show(row: Row) -> None:
    """Print a row and its findings."""
    print(f"| {' | '.join(row.cells())} |", flush=True)
    for example in (*row.findings.examples[:5], *row.wrong_answers[:2]):
        print(f"    {str(example)[:600]}", flush=True)


def chaos(faults: Sequence[Fault], root: Path, given: FaultRun, minutes: float) -> Row:
    """The random sequence."""
    able = [
        fault
        for fault in faults
        if fault.chaos and not (fault.cut_off or fault.small_disk or impossible(fault))
    ]
    with fault_platform(root, given.stack, logs=given.logs / "chaos") as running:
        row = Runner(running, rate=given.rate, seed=given.seed).random(able, minutes)
    show(row)
    return row


def main(
    what: Literal["table", "chaos", "list"],
    stack: Annotated[str, typer.Option(help="dev or cluster.")] = "dev",
    rate: Annotated[
        float | None, typer.Option(help=f"User tags per second; default: {_RATES_TEXT}.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: random, and printed.")] = None,
    minutes: Annotated[float, typer.Option(help="Of chaos.")] = 30.0,
    only: Annotated[
        list[str] | None, typer.Option(help="Part of a fault's name; repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file; table and logs are written next to it.")
    ] = None,
) -> int:
    """Exit status: 0 if every bound was kept."""
    faults = [
        fault
        for fault in FAULTS
        if stack in fault.stacks and (not only or any(part in fault.name for part in only))
    ]
    if what == "list":
        for fault in faults:
            print(f"{fault.name}: {fault.inject.__doc__} {fault.note}")
        return 0
    given = FaultRun(
        stack=stack,
        rate=RATES[what] if rate is None else rate,
        seed=random.randrange(1_000_000) if seed is None else seed,
        out=out or RUNS / f"{what}-{stack}.json",
    )
    # A part of the table must not overwrite the result of the whole.
    name = f"{'chaos' if what == 'chaos' else 'faults'}-{stack}"
    recording = Recording(name + ("-part" if only else ""))
    # Take the platform down on SIGTERM too, such as a caller's time-out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    RUNS.mkdir(exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=f"faults-{stack}-", dir=RUNS))
    # Logs of an earlier run.
    shutil.rmtree(given.logs, ignore_errors=True)
    given.logs.mkdir(parents=True)
    print(f"stack {given.stack}, {given.rate:g} tags/s, seed {given.seed}, logs in {root}/logs")

    def keep(rows: list[Row]) -> None:
        write(rows, given.out, stack=given.stack, rate=given.rate, seed=given.seed)

    if what == "table":
        rows = table(faults, root, given, keep)
    else:
        rows = [chaos(faults, root, given, minutes)]
    shutil.rmtree(root, ignore_errors=True)
    keep(rows)
    print(f"\n{markdown(rows)}\n\nwritten to {given.out}, logs to {given.logs}")
    return 0 if record(rows, recording, rate=given.rate) else 1
