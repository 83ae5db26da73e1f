"""Processes that an instance started, found by a mark in their environment, however orphaned.

A kill -9 of the supervisor leaves its children running, and Serve's HAProxy outlives Ray. All of
them inherited ``TAGS_INSTANCE`` (the run folder) and ``TAGS_PART`` (the part), and a process's
environment at start can be read from /proc by its owner. So they are found and ended by pid,
which leaves every other Ray, Redis or Kafka of this machine alone.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from setup.local.errors import SetupError

INSTANCE_MARK: Final = "TAGS_INSTANCE"
PART_MARK: Final = "TAGS_PART"
_PART_WITH_TITLES: Final = "ray"


def marked_processes(root: Path, part: str | None = None) -> list[psutil.Process]:
    """Live processes of the instance (of one part of it), without this one and its ancestors."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in own and _belongs(process, root, part)
    ]


def _belongs(process: psutil.Process, root: Path, part: str | None) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environment = process.environ()
        if "PATH" in environment:
            return _has_marks(environment, root, part)
        return part in (None, _PART_WITH_TITLES) and _has_open_file(process, root)
    except (psutil.Error, OSError):
        return False


def _has_marks(environment: Mapping[str, str], root: Path, part: str | None) -> bool:
    return environment.get(INSTANCE_MARK) == str(root) and part in (
        None,
        environment.get(PART_MARK),
    )


def _has_open_file(process: psutil.Process, root: Path) -> bool:
    """Whether it has a file of the run folder open.

    Ray's agents and dashboard modules write their titles over their own environment; what they
    have left is the log that they write to. A person's pager or editor keeps its environment, so
    this is never asked of one.
    """
    return any(Path(file.path).is_relative_to(root) for file in process.open_files())


def sweep(root: Path, part: str | None = None, grace_s: float = 10.0) -> int:
    """End the instance's processes: SIGTERM, up to ``grace_s`` seconds, SIGKILL.

    Looks again until none is left, since one may have started another meanwhile. Returns how many
    it ended; SetupError if some cannot be ended.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + grace_s
    for _ in range(20):
        processes = marked_processes(root, part)
        if not processes:
            return len(ended)
        for process in processes:
            _signal(process, kill=process.pid in ended and time.monotonic() >= deadline)
        ended.update(process.pid for process in processes)
        _, alive = psutil.wait_procs(processes, timeout=max(0.0, deadline - time.monotonic()))
        for process in alive:
            _signal(process, kill=True)
        psutil.wait_procs(alive, timeout=5.0)
    pids = ", ".join(str(process.pid) for process in marked_processes(root, part))
    raise SetupError(f"cannot end these processes of {root}: {pids}")


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass
