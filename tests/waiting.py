"""Waiting: for a condition, in asynchronous tests and in others, and for a machine at rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil


async def eventually(
    condition: Callable[[], Awaitable[bool]], timeout_s: float = 20.0, every_s: float = 0.05
) -> None:
    """Return once ``condition`` holds; an AssertionError if it never does."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        await asyncio.sleep(every_s)


def wait_until(what: str, done: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """The first true answer of ``done``; AssertionError after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not (answer := done()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
    return answer


def wait_for_rest(most_s: float = 60.0) -> None:
    """Return when what starting took has died down, or it is no use to wait longer.

    For runs in which the first tags count, too.
    """
    deadline = time.monotonic() + most_s
    while psutil.cpu_percent(interval=1) > 40 and time.monotonic() < deadline:
        pass
