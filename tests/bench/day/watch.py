"""Watches the actors of a running platform: whether they run, how long a flush takes, memory."""

import statistics
from dataclasses import dataclass, field

import psutil

from setup.local.leftovers import marked_processes
from setup.local.platform import Platform
from setup.local.status import partition_statuses
from tests.bulk.hours import PARTITIONS

ACTORS = tuple(f"ray::ServeReplica:case3:case3-{number}" for number in range(PARTITIONS))


@dataclass
class Watch:
    """Collects samples; `look` takes one."""

    platform: Platform
    flush_ms: list[float] = field(default_factory=list)
    rss_bytes: int = 0
    """Maximum over the actors."""
    problems: dict[int, str] = field(default_factory=dict)
    """Why it does not run, by partition."""
    _seen: set[tuple[int, str]] = field(default_factory=set)
    _actors: list[psutil.Process] = field(default_factory=list)

    def look(self) -> None:
        """Take a sample; a failed one is retried at the next call."""
        try:
            statuses = partition_statuses(self.platform)
        except (OSError, ValueError):
            return
        for one in statuses:
            number, flushed = one["partition"], one["last_flush"]
            if one["state"] == "running":
                self.problems.pop(number, None)
            else:
                self.problems[number] = f"{one['state']} {one['error'] or ''}"
            if flushed is not None and (number, flushed) not in self._seen:
                self._seen.add((number, flushed))
                self.flush_ms.append(one["last_flush_ms"])
        self.rss_bytes = max([self.rss_bytes, *map(_rss_bytes, self._running())])

    def flush_quantiles(self) -> tuple[float, float]:
        """(p50, p99) of flushes in ms; zeros if there were none."""
        if len(self.flush_ms) < 2:
            return (self.flush_ms[0],) * 2 if self.flush_ms else (0.0, 0.0)
        cuts = statistics.quantiles(self.flush_ms, n=100, method="inclusive")
        return round(cuts[49], 1), round(cuts[98], 1)

    def _running(self) -> list[psutil.Process]:
        if len(self._actors) < PARTITIONS or not all(one.is_running() for one in self._actors):
            self._actors = [
                process
                for process in marked_processes(self.platform.folder.root)
                if _title(process).startswith(ACTORS)
            ]
        return self._actors


def _title(process: psutil.Process) -> str:
    """Ray sets the process title of a worker to the class that it runs."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
