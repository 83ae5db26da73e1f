"""The memory of a cgroup and all below it."""

from pathlib import Path

from tests.kuberay.cluster.machine import CGROUPS, cgroup_roots


def working_set(name: str, mount: Path = CGROUPS) -> int:
    """Bytes without what the kernel takes back first: kubelet's formula, for cgroup v1 and v2."""
    v2 = cgroup_roots(mount) == [mount]
    folder = mount / name if v2 else mount / "memory" / name
    usage, inactive = (
        ("memory.current", "inactive_file")
        if v2
        else ("memory.usage_in_bytes", "total_inactive_file")
    )
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return max(0, int((folder / usage).read_text()) - int(stat[inactive]))
