"""A Web Panel subscription against a platform, and processes killed meanwhile.

``TAGS_TEST_SECONDS`` and ``TAGS_TEST_KILL_EVERY_S`` make the runs longer: ``make test-long``.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from setup.local.leftovers import marked_processes
from setup.local.platform import Platform

RATE = 100
STEP_MS = 200
"""Event time runs ahead of the clock, so that whole minutes close within a short run."""
SECONDS = int(os.environ.get("TAGS_TEST_SECONDS", "40"))
KILL_EVERY_S = float(os.environ.get("TAGS_TEST_KILL_EVERY_S", "5"))
TIMEOUT_S = SECONDS + 900
"""Time-out (s) of a test with its fixture, which may start two Ray clusters."""
ACTORS = ("case3:case3-0", "case3:case3-1", "case3:case3-2")


def subscribe(
    platform: Platform,
    folder: Path,
    start: str,
    seed: int,
    seconds: int = SECONDS,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    """Report of a subscription of ``seconds`` that begins at event time ``start``.

    ``options``: further options of the Web Panel's command line.
    """
    report = folder / "report.json"
    command = [sys.executable, "-m", "tests.webpanel", "--port", str(platform.http_port)]
    command += ["--rate", str(RATE), "--duration", str(seconds), "--step", str(STEP_MS)]
    command += ["--seed", str(seed), "--start", start, "--report", str(report), "--quiet"]
    command += options
    subprocess.run(command, check=False, timeout=seconds + 200)
    content: dict[str, Any] = json.loads(report.read_text())
    return content


@contextmanager
def killing(
    platforms: Sequence[Platform],
    names: Sequence[str],
    every_s: float = KILL_EVERY_S,
    *,
    once: bool = False,
) -> Iterator[list[str]]:
    """Kill -9 processes one after the other, in turn on all platforms; yields their names.

    A name is that of a Serve deployment, or of a part of the platform, such as ``kafka-1``. Each
    is killed repeatedly, or ``once``.
    """
    finished = threading.Event()
    killed: list[str] = []

    def kill_by_turns() -> None:
        turns = itertools.product(names, platforms)
        for name, platform in turns if once else itertools.cycle(turns):
            if finished.wait(every_s):
                return
            process = _process(platform, name)
            if process is not None:
                process.kill()
                killed.append(name)

    killer = threading.Thread(target=kill_by_turns)
    killer.start()
    try:
        yield killed
    finally:
        finished.set()
        killer.join()


def _process(platform: Platform, name: str) -> psutil.Process | None:
    part = platform.supervisor.states().get(name)
    if part is not None:
        return psutil.Process(part.pid) if part.pid else None
    for process in marked_processes(platform.folder.root):
        if f"ServeReplica:{name}" in _title(process):
            return process
    return None


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def assert_never_wrong(report: dict[str, Any]) -> None:
    """No wrong answer, and right ones of both kinds."""
    counters = report["counters"]
    for kind in ("profile_answers", "aggregate_answers"):
        assert counters[kind]["wrong"] == 0, json.dumps(report["wrong_answers"][:3])
        assert counters[kind]["ok"] > 0, json.dumps(counters)
