"""Waits on conditions, each with a deadline."""

import time
from collections.abc import Callable
from pathlib import Path

from setup.local.errors import PartFailedError


def wait_for(
    what: str,
    problem: Callable[[], str | None],
    *,
    timeout_s: float,
    log: Path | None = None,
    every_s: float = 0.1,
) -> None:
    """Call ``problem`` until it returns None; PartFailedError with its last answer when too late.

    ``problem`` may raise PartFailedError itself when waiting is pointless. The error ends with
    the last lines of ``log``.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer = problem()
        if answer is None:
            return
        if time.monotonic() >= deadline:
            raise PartFailedError(f"{what}: {answer} after {timeout_s:.0f} s{tail(log)}")
        time.sleep(every_s)


def tail(log: Path | None, lines: int = 15) -> str:
    """The end of a log, ready to be appended to a message; empty if there is none."""
    if log is None or not log.exists():
        return ""
    last = log.read_text(errors="replace")[-20_000:].splitlines()[-lines:]
    return f"\nThe end of {log}:\n" + "\n".join(f"  {line}" for line in last)
