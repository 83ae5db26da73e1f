"""``python -m tests.soak``: days of event time over HTTP; exit status 1 unless every rule is kept.

The same command continues a soak that was stopped, on its data; ``--fresh`` starts over. All that
was seen is in ``.run/soak-<stack>.json``; what came of it, and its picture, among the results.
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
from tests.soak.run import SoakLeg
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
    out: Annotated[
        Path | None, typer.Option(help="JSON file of what was seen; the data is next to it.")
    ] = None,
) -> int:
    """Run a leg; judge once the total time is reached."""
    if rate <= 0:
        raise typer.BadParameter("--rate must be above 0")
    if rate * step > _MOST_MS_A_SECOND:
        most = f"{_MOST_MS_A_SECOND:,.0f} ms a second"
        raise typer.BadParameter(f"--rate times --step must be at most {most}")
    out = out or RUNS / f"soak-{stack}.json"
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

    picture = results_folder() / f"soak-{stack}.svg"
    try:
        leg = SoakLeg(soak, out, root, stop, say)
        leg.run()
    finally:
        soak.save(out)
    if soak.seconds < hours * 3_600 - 90 and stop.is_set():
        print(f"stopped after {soak.seconds / 60:.0f} minutes; the same command continues")
        return 130
    soak.findings = dict(judge(soak, leg.planned))
    for rule, broken in soak.findings.items():
        print(f"{'kept  ' if not broken else 'BROKEN'} {rule}{': ' if broken else ''}{broken}")
    kept = record(soak, recording)
    # Not before: a finished soak is not judged again.
    soak.save(out)
    draw(soak, picture)
    print(f"all that was seen: {out}; picture: {picture}")
    if kept:
        shutil.rmtree(root, ignore_errors=True)
        root.with_suffix(".serve.yaml").unlink(missing_ok=True)
    else:
        print(f"what was broken may show in {root}")
    return 0 if kept else 1
