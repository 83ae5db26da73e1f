"""Up, a subscription, nothing dropped, nothing wrong, down, no process left.

Event time runs ahead of the clock, so that whole minutes close within a short run; the waiting
times are the contract's own: profiles after 10 s, aggregates after a minute.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from setup.local.leftovers import marked_processes
from setup.local.platform import Platform
from tests.conftest import instance

RATE = 100
STEP_MS = 200
SECONDS = 40


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With the settings that people get; `instance` stops it and looks for processes left."""
    with instance(tmp_path_factory) as platform:
        platform.up()
        wait_for_rest()
        yield platform


def wait_for_rest() -> None:
    """Return when what starting took has died down: the first tags count, too."""
    deadline = time.monotonic() + 60
    while psutil.cpu_percent(interval=2) > 40 and time.monotonic() < deadline:
        pass


def subscribe(platform: Platform, folder: Path, start: str, seed: int) -> dict[str, Any]:
    report = folder / "report.json"
    command = [sys.executable, "-m", "tests.webpanel", "--port", str(platform.http_port)]
    command += ["--rate", str(RATE), "--duration", str(SECONDS), "--step", str(STEP_MS)]
    command += ["--seed", str(seed), "--start", start, "--report", str(report), "--quiet"]
    subprocess.run(command, check=False, timeout=240)
    content: dict[str, Any] = json.loads(report.read_text())
    return content


def test_nothing_is_dropped_and_nothing_is_wrong(running: Platform, tmp_path: Path) -> None:
    report = subscribe(running, tmp_path, "2022-03-01T00:00:00Z", seed=1)
    counters = report["counters"]
    assert report["flawless"], json.dumps(counters)
    assert counters["tags"]["sent"] == RATE * SECONDS
    assert counters["profile_answers"]["ok"] == RATE * SECONDS // 10
    assert counters["aggregate_answers"]["ok"] == RATE * SECONDS // 1000


def test_answers_stay_right_while_actors_and_replicas_are_killed(
    running: Platform, tmp_path: Path
) -> None:
    finished = threading.Event()
    killed: list[str] = []

    def kill_by_turns() -> None:
        turns = (
            "case3:case3-0",
            "case12",
            "case3:case3-1",
            "case3:profile-repair",
            "case3:case3-2",
        )
        while not finished.wait(5):
            title = f"ServeReplica:{turns[len(killed) % len(turns)]}"
            for process in marked_processes(running.folder.root):
                if title in " ".join(process.cmdline()):
                    process.kill()
                    killed.append(title)
                    break

    killer = threading.Thread(target=kill_by_turns)
    killer.start()
    try:
        report = subscribe(running, tmp_path, "2022-03-10T00:00:00Z", seed=2)
    finally:
        finished.set()
        killer.join()
    counters = report["counters"]
    assert len(killed) >= 10
    # A replica takes the requests that it was answering with it, and nothing more is wrong.
    assert counters["profile_answers"]["wrong"] == 0, json.dumps(report["wrong_answers"][:3])
    assert counters["aggregate_answers"]["wrong"] == 0, json.dumps(report["wrong_answers"][:3])
    assert counters["aggregate_answers"]["ok"] > 0
    assert counters["tags"]["dropped"] < 0.2 * counters["tags"]["sent"], json.dumps(counters)
