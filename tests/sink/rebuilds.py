"""Rebuilds of a harness's topic, in this process or in one that fails."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from actors.settings import ActorSettings
from actors.tools.rebuild import run
from actors.tools.rebuild.run import RebuildOptions, Report, rebuild
from actors.tools.rebuild.shadow import prepare, swap
from serve_app.core.settings import Settings
from tests.sink.harness import ROOT, Harness

POINTS = ("prepared", "counting", "swap", "swapped")
"""After creating shadow tables; within counting; before the RENAME; after it, before clean-up."""


class Said:
    """A watcher that records."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.shares: list[float] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def counted(
        self, starts: Mapping[int, int], offsets: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        self.shares.append(sum(offsets.values()) / max(1, sum(ends.values())))


async def rebuild_box(harness: Harness, said: Said | None = None, **options: bool) -> Report:
    return await rebuild(
        harness.topic,
        stores=harness.stores,
        settings=harness.settings,
        options=RebuildOptions(**options),
        watcher=said or Said(),
    )


@contextmanager
def rebuilding_child(
    harness: Harness, point: str, sent: signal.Signals = signal.SIGKILL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that rebuilds and sends itself a signal at ``point``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sink.rebuilds", harness.topic, point, str(int(sent))],
        cwd=ROOT,
        env=harness.child_environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _child(topic: str, point: str, sent: int) -> None:
    def reach(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), sent)

    async def prepare_and_tell(*args: Any, **options: Any) -> object:
        began = await prepare(*args, **options)
        reach("prepared")
        return began

    async def swap_and_tell(*args: Any) -> bool:
        reach("swap")
        done = await swap(*args)
        reach("swapped")
        return done

    class Watcher(Said):
        def counted(
            self, starts: Mapping[int, int], offsets: Mapping[int, int], ends: Mapping[int, int]
        ) -> None:
            if any(offsets[number] > starts[number] for number in offsets):
                reach("counting")

    # Frequent progress reports, to see the counting of a small log.
    with patch.multiple(run, prepare=prepare_and_tell, swap=swap_and_tell, LOOK_S=0.01):
        await rebuild(
            topic,
            stores=Settings(),
            settings=ActorSettings(),
            options=RebuildOptions(),
            watcher=Watcher(),
        )


if __name__ == "__main__":
    asyncio.run(_child(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    assert sys.argv[2] not in POINTS, "the point was never reached"
