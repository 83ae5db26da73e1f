"""The memory of a cgroup and all below it."""

from pathlib import Path
from typing import Final

MOUNT: Final = Path("/sys/fs/cgroup")


def working_set(name: str, mount: Path = MOUNT) -> int:
    """Bytes without what the kernel takes back first: kubelet's formula, for cgroup v1 and v2."""
    v2 = (mount / "cgroup.controllers").exists()
    folder = mount / name if v2 else mount / "memory" / name
    used = int((folder / ("memory.current" if v2 else "memory.usage_in_bytes")).read_text())
    lines = (folder / "memory.stat").read_text().splitlines()
    inactive = dict(line.split() for line in lines)[
        "inactive_file" if v2 else "total_inactive_file"
    ]
    return max(0, used - int(inactive))
