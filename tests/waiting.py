"""Waits for a condition (asynchronous or not), or for an idle machine."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil


async def eventually(
    condition: Callable[[], Awaitable[bool]], timeout_s: float = 20.0, every_s: float = 0.05
) -> None:
    """Wait until ``condition`` holds; AssertionError on time-out."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        await asyncio.sleep(every_s)


def wait_until(what: str, done: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Poll ``done`` and return its first true result; AssertionError on time-out."""
    deadline = time.monotonic() + timeout_s
    while not (answer := done()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
    return answer


def wait_for_rest(most_s: float = 60.0) -> None:
    """Wait until the load of starting is over, or for a limited time.

    For runs that count from the first tag.
    """
    deadline = time.monotonic() + most_s
    while psutil.cpu_percent(interval=1) > 40 and time.monotonic() < deadline:
        pass
