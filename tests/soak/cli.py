"""``python -m tests.soak``: days of event time over HTTP; exit status 1 unless every rule is kept.

The same command continues a soak that was stopped, on its data; ``--fresh`` starts over. Result and
picture: ``.run/soak-<stack>.json`` and ``.svg``.
"""

import argparse
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from setup.local.folder import CHECKOUT
from setup.local.leftovers import sweep
from tests.soak.judge import judge
from tests.soak.picture import draw
from tests.soak.results import Soak
from tests.soak.run import SoakLeg
from tests.webpanel.options import STREAM_START_MS

RUNS: Final = CHECKOUT / ".run"
_LEAST_HOURS: Final = 0.02
_MOST_MS_A_SECOND: Final = 600_000.0
"""Event time (ms) per second: two minutes of waiting must not span all that is kept."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed arguments; exits with 2 on invalid ones."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--stack", default="dev", help="dev or cluster")
    parser.add_argument("--hours", type=float, default=1.0, help="under load, over all legs")
    parser.add_argument("--rate", type=float, default=200.0, help="user tags a second")
    parser.add_argument(
        "--step", type=float, default=1_000.0, help="ms of event time between two tags"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="drop an earlier soak and its data")
    parser.add_argument("--out", type=Path, default=None, help="JSON file; the picture beside it")
    given = parser.parse_args(arguments)
    if given.hours < _LEAST_HOURS:
        parser.error(f"--hours must be at least {_LEAST_HOURS}")
    if given.rate <= 0 or given.step < 1:
        parser.error("--rate must be above 0, --step at least 1")
    if given.rate * given.step > _MOST_MS_A_SECOND:
        parser.error(f"--rate times --step must be at most {_MOST_MS_A_SECOND:,.0f} ms a second")
    given.out = given.out or RUNS / f"soak-{given.stack}.json"
    return given


def resumed(given: argparse.Namespace, root: Path) -> Soak:
    """The soak of the result file, or a new one; SystemExit if it is finished or differs."""
    about = {
        "stack": given.stack,
        "hours": given.hours,
        "rate": given.rate,
        "step_ms": given.step,
        "seed": given.seed,
    }
    soak = None if given.fresh else Soak.load(given.out)
    if soak is None or not root.exists():
        sweep(root)
        shutil.rmtree(root, ignore_errors=True)
        return Soak(about=about, next_start_ms=STREAM_START_MS)
    if soak.about != about:
        raise SystemExit(f"{given.out} is of another soak ({soak.about}): --fresh drops it")
    if soak.findings:
        raise SystemExit(f"{given.out} is finished: --fresh begins another one")
    print(f"continuing after {soak.seconds / 60:.0f} minutes (--fresh starts over)")
    return soak


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a leg; judge once the total time is reached."""
    given = parse(arguments)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    root = given.out.with_suffix("")
    soak = resumed(given, root)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def say(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)

    try:
        SoakLeg(soak, given.out, root, stop, say).run()
    finally:
        soak.save(given.out)
        draw(soak, given.out.with_suffix(".svg"))
    if soak.seconds < given.hours * 3_600 - 90 and stop.is_set():
        print(f"stopped after {soak.seconds / 60:.0f} minutes; the same command continues")
        return 130
    soak.findings = dict(judge(soak.samples, soak.legs))
    soak.save(given.out)
    for rule, broken in soak.findings.items():
        print(f"{'kept  ' if not broken else 'BROKEN'} {rule}{': ' if broken else ''}{broken}")
    print(f"written to {given.out} and {given.out.with_suffix('.svg')}")
    shutil.rmtree(root, ignore_errors=True)
    root.with_suffix(".serve.yaml").unlink(missing_ok=True)
    return 1 if any(soak.findings.values()) else 0
