"""Memory of each part of an instance."""

from collections import Counter
from pathlib import Path

import psutil

from setup.local.leftovers import PART_MARK, marked_processes


def memory_by_part(root: Path) -> Counter[str]:
    """Name of the part → bytes, all its processes together.

    Proportional set size: a page shared by n processes counts for 1/n in each, so parts add up
    (https://docs.kernel.org/filesystems/proc.html, smaps_rollup). "supervisord" is one of them.
    """
    found: Counter[str] = Counter()
    for process in marked_processes(root):
        try:
            environment = process.environ()
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (psutil.Error, OSError):
            # It ended meanwhile.
            continue
        # Those that have overwritten their environment are Ray's.
        part = environment.get(PART_MARK, "supervisord" if "PATH" in environment else "ray")
        found[part] += sum(
            int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
        )
    return found
