"""``python -m tests.soak``: days of event time over HTTP; exit status 1 unless every rule is kept.

The same command continues a soak that was stopped, on its data; ``--fresh`` starts over. All that
was seen is in ``.run/soak-<stack>.json``; what came of it, and its picture, among the results.
``--judge`` makes these anew from that file, of a finished soak, too, and starts nothing.
"""

import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from setup.local.folder import CHECKOUT
from setup.local.leftovers import sweep
from tests.results.recording import Recording
from tests.results.recording import folder as results_folder
from tests.soak.judge import judge
from tests.soak.outcome import record
from tests.soak.picture import draw
from tests.soak.results import Soak
from tests.soak.run import SoakLeg, steps_of
from tests.webpanel.options import STREAM_START_MS

RUNS: Final = CHECKOUT / ".run"
_LEAST_HOURS: Final = 0.02
_MOST_MS_A_SECOND: Final = 600_000.0
"""Event time (ms) per second: two minutes of waiting must not span all that is kept."""


def resumed(about: dict[str, Any], file: Path, root: Path, *, fresh: bool) -> Soak:
    """The soak of the result file, or a new one; SystemExit if it is finished or differs."""
    soak = None if fresh else Soak.load(file)
    if soak is None or not soak.legs or not root.exists():
        sweep(root)
        shutil.rmtree(root, ignore_errors=True)
        return Soak(about=about, next_start_ms=STREAM_START_MS)
    if soak.about != about:
        raise SystemExit(f"{file} is of another soak ({soak.about}): --fresh drops it")
    if soak.findings:
        raise SystemExit(f"{file} is finished: --fresh begins another one")
    print(f"continuing after {soak.seconds / 60:.0f} minutes (--fresh starts over)")
    return soak


def conclude(soak: Soak, file: Path, recording: Recording, *, later: bool = False) -> bool:
    """Judge, record and draw; returns whether every rule was kept."""
    soak.findings = dict(judge(soak, [step.what for step in steps_of(soak.about)]))
    for rule, broken in soak.findings.items():
        print(f"{'kept  ' if not broken else 'BROKEN'} {rule}{': ' if broken else ''}{broken}")
    kept = record(soak, recording, later=later)
    # Findings end a soak, so they are saved last, and only if it has no time left.
    if is_over(soak):
        soak.save(file)
    picture = results_folder() / f"soak-{soak.about['stack']}.svg"
    draw(soak, picture)
    print(f"all that was seen: {file}; picture: {picture}")
    return kept


def is_over(soak: Soak) -> bool:
    """Whether it has had its time under load."""
    return soak.seconds >= float(soak.about["hours"]) * 3_600 - 90


def judge_saved(file: Path) -> int:
    """Exit status of a soak that is judged by what its file says."""
    soak = Soak.load(file)
    if soak is None or not soak.samples:
        raise SystemExit(f"{file}: there is no soak to judge")
    name = f"soak-{soak.about['stack']}"
    return 0 if conclude(soak, file, Recording(name), later=True) else 1


def main(
    stack: Annotated[str, typer.Option(help="dev or cluster.")] = "dev",
    hours: Annotated[
        float, typer.Option(min=_LEAST_HOURS, help="Under load, over all legs.")
    ] = 1.0,
    rate: Annotated[float, typer.Option(help="User tags per second.")] = 200.0,
    step: Annotated[
        float, typer.Option(min=1, help="Milliseconds of event time between two tags.")
    ] = 1_000.0,
    seed: int = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Drop an earlier soak and its data.")
    ] = False,
    judge_only: Annotated[
        bool, typer.Option("--judge", help="Judge, record and draw what was saved; start nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="JSON file of what was seen; the data is next to it.")
    ] = None,
) -> int:
    """Run a leg; judge once the total time is reached."""
    out = out or RUNS / f"soak-{stack}.json"
    if judge_only:
        return judge_saved(out)
    if rate <= 0:
        raise typer.BadParameter("--rate must be above 0")
    if rate * step > _MOST_MS_A_SECOND:
        most = f"{_MOST_MS_A_SECOND:,.0f} ms a second"
        raise typer.BadParameter(f"--rate times --step must be at most {most}")
    out.parent.mkdir(parents=True, exist_ok=True)
    root = out.with_suffix("")
    about = {"stack": stack, "hours": hours, "rate": rate, "step_ms": step, "seed": seed}
    soak = resumed(about, out, root, fresh=fresh)
    recording = Recording(f"soak-{stack}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def say(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)

    try:
        SoakLeg(soak, out, root, stop, say).run()
    finally:
        soak.save(out)
    if stop.is_set() and not is_over(soak):
        print(f"stopped after {soak.seconds / 60:.0f} minutes; the same command continues")
        return 130
    try:
        kept = conclude(soak, out, recording)
    except Exception:
        print(f"not judged; all that was seen is in {out}: --judge does it again", flush=True)
        raise
    if kept:
        shutil.rmtree(root, ignore_errors=True)
        root.with_suffix(".serve.yaml").unlink(missing_ok=True)
    else:
        print(f"what was broken may show in {root}")
    return 0 if kept else 1
