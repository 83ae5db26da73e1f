"""Processes that are started one after the other."""

import itertools
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from setup.local.folder import CHECKOUT
from setup.local.parts.ray import may_raise_priority

IN_TURN = CHECKOUT / "setup" / "local" / "in_turn"
NO_SIGN_S, AT_MOST_S = 2.5, 8.0

# Says when it began; a line on its standard input makes it ready, as serve_app/priority.py does.
PROCESS = """
import os, sys, time
print(time.time(), flush=True)
sys.stdin.readline()
os.setpriority(os.PRIO_PROCESS, 0, 0)
sys.stdin.read()
"""

can_raise = pytest.mark.skipif(
    not may_raise_priority(), reason="may not raise a process's priority again"
)


@pytest.fixture
def turn(tmp_path: Path) -> Path:
    """A file that says: one after the other."""
    turn = tmp_path / "turn"
    turn.touch()
    return turn


@contextmanager
def processes(turn: Path, count: int, niceness: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many, all asked for at once."""
    command = ("nice", "-n", str(niceness), str(IN_TURN), str(turn), sys.executable, "-c", PROCESS)
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def began(process: subprocess.Popen[str]) -> float:
    """Epoch seconds at which it began; waits until it does."""
    assert process.stdout is not None
    return float(process.stdout.readline())


def next_to_begin(waiting: list[subprocess.Popen[str]], timeout_s: float) -> subprocess.Popen[str]:
    """Take the one that begins first from those waiting; TimeoutError if none does."""
    ready, _, _ = select.select([process.stdout for process in waiting], [], [], timeout_s)
    for process in waiting:
        if process.stdout in ready:
            waiting.remove(process)
            return process
    raise TimeoutError


def make_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@can_raise
def test_each_begins_when_the_one_before_is_ready(turn: Path) -> None:
    with processes(turn, 3, niceness=10) as started:
        waiting = list(started)
        before = next_to_begin(waiting, NO_SIGN_S)
        while waiting:
            with pytest.raises(TimeoutError):
                next_to_begin(waiting, NO_SIGN_S)
            make_ready(before)
            before = next_to_begin(waiting, NO_SIGN_S)


@can_raise
def test_who_never_gets_ready_keeps_the_others_for_some_seconds(turn: Path) -> None:
    with processes(turn, 2, niceness=10) as started:
        first, second = sorted(began(process) for process in started)
        assert AT_MOST_S - 0.5 < second - first < AT_MOST_S + NO_SIGN_S


@can_raise
def test_who_dies_keeps_nobody(turn: Path) -> None:
    with processes(turn, 2, niceness=10) as started:
        waiting = list(started)
        first = next_to_begin(waiting, NO_SIGN_S)
        first.kill()
        first.wait()
        next_to_begin(waiting, NO_SIGN_S)


def test_who_may_not_raise_its_priority_gives_no_sign(turn: Path) -> None:
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        pytest.skip("the tests themselves have low priority")
    with processes(turn, 3, niceness=0) as started:
        starts = sorted(began(process) for process in started)
    for before, after in itertools.pairwise(starts):
        assert NO_SIGN_S - 0.5 < after - before < AT_MOST_S - 0.5


def test_without_a_turn_all_start_at_once(tmp_path: Path) -> None:
    turn = tmp_path / "turn"
    with processes(turn, 4, niceness=0) as started:
        starts = sorted(began(process) for process in started)
    assert starts[-1] - starts[0] < NO_SIGN_S
    assert not turn.exists()


def test_the_command_is_the_process_that_was_started(turn: Path) -> None:
    command = (str(IN_TURN), str(turn), "sh", "-c", 'echo $$ "$1"; exit 3', "sh", "a b")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.communicate(timeout=30)[0] == f"{process.pid} a b\n"
    assert process.returncode == 3
