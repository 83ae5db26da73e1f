"""Who used the machine's processor time during a run: this instance, the panel, or others."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

from setup.local.leftovers import marked_processes

CROWDED: Final = 0.15
"""Share of all cores used by others above which late requests are explained by it."""


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time so far, or in a while. Times of all cores are added up."""

    clock_s: float
    busy_s: float
    """Of the whole machine, with what the hypervisor gave to others (steal)."""
    platform_s: float
    """Of one instance's processes that are still there."""
    children_s: float
    """Of the caller's own children that have ended: the Web Panel."""

    @classmethod
    def now(cls, root: Path) -> Self:
        """For the instance of this run folder."""
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # Guests are counted in user and nice already.
        guests_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        all_s = sum(times) - guests_s
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            clock_s=all_s / (psutil.cpu_count() or 1),
            busy_s=all_s - idle_s,
            platform_s=_processor_time_s(root),
            children_s=children.ru_utime + children.ru_stime,
        )

    def since(self, before: Self) -> "Usage":
        """What was used between the two."""
        return Usage(
            self.clock_s - before.clock_s,
            self.busy_s - before.busy_s,
            # The usage of a process that ended meanwhile is lost.
            max(0.0, self.platform_s - before.platform_s),
            self.children_s - before.children_s,
        )

    @property
    def others_s(self) -> float:
        """Of all other programs, the kernel's threads and the hypervisor included."""
        return max(0.0, self.busy_s - self.platform_s - self.children_s)


def report(used: Usage, cores: int, *, dropped: bool) -> list[str]:
    """Lines for a person: the machine, and whether others explain that something was dropped."""
    seconds = max(used.clock_s, 1e-6)
    platform, panel, others = (
        one / seconds for one in (used.platform_s, used.children_s, used.others_s)
    )
    lines = [
        f"Machine        {cores} cores: {platform:.2f} for the platform, {panel:.2f} for the Web "
        f"Panel, {others:.2f} for others"
    ]
    if others >= CROWDED * cores:
        lines.append(
            f"               Other programs took {others:.2f} of {cores} cores while this ran"
            + (": what was dropped may have been late for that." if dropped else ".")
        )
    elif dropped and platform + panel + others > 0.9 * cores:
        lines.append(
            "               The cores were full: this machine does not hold that rate. Try RATE=."
        )
    return lines


def usable_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0))


def _processor_time_s(root: Path) -> float:
    total_s = 0.0
    for process in marked_processes(root):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total_s += times.user + times.system
    return total_s
