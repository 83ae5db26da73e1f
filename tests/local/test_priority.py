"""Low priority is reset thread by thread, and forbidden changes have no effect."""

import os
import subprocess
import sys

import pytest

from serve_app import priority

_THREADS = """
import os, threading
from serve_app import priority
os.setpriority(os.PRIO_PROCESS, 0, 10)
inside = threading.Event(), threading.Event()
thread = threading.Thread(target=lambda: (inside[0].set(), inside[1].wait()))
thread.start()
inside[0].wait()
{change}
tasks = os.listdir("/proc/self/task")
print(sorted(os.getpriority(os.PRIO_PROCESS, int(task)) for task in tasks))
inside[1].set()
"""
needs_root = pytest.mark.skipif(not priority.may_come_back(), reason="not without a privilege")


def niceness_after(change: str) -> str:
    """Niceness of both threads of a process of niceness 10 after ``change``."""
    command = [sys.executable, "-c", _THREADS.format(change=change)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@needs_root
def test_a_process_that_is_ready_raises_all_its_threads() -> None:
    assert niceness_after("") == "[10, 10]"
    assert niceness_after("priority.to_normal()") == "[0, 0]"
    change = "priority.set_threads(map(int, os.listdir('/proc/self/task')), priority.LEFTOVER)"
    assert niceness_after(change) == "[19, 19]"


def test_what_is_forbidden_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbid)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    priority.set_own(priority.INGRESS)
    priority.to_normal()
    assert not priority.may_come_back()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_asking_whether_one_may_come_back_leaves_all_as_it_was() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    priority.may_come_back()
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_command_is_started_at_its_priority() -> None:
    ask = (sys.executable, "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))")
    command = (*priority.at(priority.LEFTOVER), *ask)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "19\n"
