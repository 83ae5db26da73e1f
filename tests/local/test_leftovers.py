"""Processes of an instance are found and ended; others are left alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from setup.local.leftovers import INSTANCE_MARK, PART_MARK, marked_processes, sweep

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def start(code: str, root: Path, part: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        (sys.executable, "-c", code),
        env={**os.environ, INSTANCE_MARK: str(root), PART_MARK: part},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(STUBBORN, tmp_path, "redis-1")
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_process_that_ignores_sigterm_is_killed(
    tmp_path: Path, stubborn: subprocess.Popen[str]
) -> None:
    assert [process.pid for process in marked_processes(tmp_path)] == [stubborn.pid]
    assert sweep(tmp_path, grace_s=0.3) == 1
    assert not psutil.pid_exists(stubborn.pid)
    assert sweep(tmp_path) == 0


def test_other_instances_and_other_parts_are_left_alone(
    tmp_path: Path, stubborn: subprocess.Popen[str]
) -> None:
    assert sweep(tmp_path / "other") == 0
    assert sweep(tmp_path, "kafka-1") == 0
    assert stubborn.poll() is None
    assert [process.pid for process in marked_processes(tmp_path, "redis-1")] == [stubborn.pid]


def test_this_process_is_never_one_of_them(tmp_path: Path) -> None:
    assert psutil.Process().pid not in {process.pid for process in marked_processes(tmp_path)}
