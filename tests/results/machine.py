"""Properties of a run: the machine, its speed, the code."""

import os
import shlex
import subprocess
import sys
import time
from typing import Final

import psutil

from setup.local.folder import CHECKOUT

ADDITIONS: Final = 20_000_000
LOOPS: Final = 3


def loop_s(additions: int = ADDITIONS) -> float:
    """Seconds that ``additions`` take in Python: the current speed of a core."""
    total = 0
    begun_s = time.perf_counter()
    for number in range(additions):
        total += number
    return time.perf_counter() - begun_s


def speed_s(additions: int = ADDITIONS) -> tuple[float, float]:
    """(shortest, longest) of some loops."""
    seconds = [loop_s(additions) for _ in range(LOOPS)]
    return round(min(seconds), 2), round(max(seconds), 2)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_gib() -> float:
    """Of the machine."""
    return round(psutil.virtual_memory().total / 2**30, 1)


def commit() -> str:
    """Short hash of the code, with ``+changes`` if the checkout has some; empty outside of git."""

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(CHECKOUT), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # Results written by earlier runs are not changes of the code.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!docs/results")
        return git("rev-parse", "--short=7", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def command() -> str:
    """The command of this process, without the file that it writes to: that is of one machine."""
    words = ["python", *sys.orig_argv[1:]]
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return shlex.join(words)
