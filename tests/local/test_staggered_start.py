"""Processes that are started one after the other."""

import os
import subprocess
import time
from pathlib import Path

from setup.local.folder import CHECKOUT

STAGGERED_START = CHECKOUT / "setup" / "local" / "staggered_start"
BETWEEN_S = 2.5


def started_at(stagger_file: Path, count: int) -> list[float]:
    """Epoch seconds at which each of so many, all asked for at once, began; in order."""
    command = (str(STAGGERED_START), str(stagger_file), "date", "+%s.%N")
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sorted(float(process.communicate(timeout=30)[0]) for process in processes)


def test_each_waits_for_its_turn_and_the_first_for_none(tmp_path: Path) -> None:
    stagger_file = tmp_path / "turn"
    stagger_file.touch()
    os.utime(stagger_file, (0, 0))
    asked = time.time()
    first, second, third = started_at(stagger_file, 3)
    assert first - asked < BETWEEN_S
    assert second - first >= BETWEEN_S - 0.2
    assert third - second >= BETWEEN_S - 0.2


def test_without_a_turn_all_start_at_once(tmp_path: Path) -> None:
    first, *_, last = started_at(tmp_path / "turn", 4)
    assert last - first < BETWEEN_S
    assert not (tmp_path / "turn").exists()


def test_the_command_is_the_process_that_was_started(tmp_path: Path) -> None:
    stagger_file = tmp_path / "turn"
    stagger_file.touch()
    command = (
        str(STAGGERED_START),
        str(stagger_file),
        "sh",
        "-c",
        'echo $$ "$1"; exit 3',
        "sh",
        "a b",
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=30)[0] == f"{process.pid} a b\n"
    assert process.returncode == 3
