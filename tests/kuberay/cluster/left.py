"""What a cluster leaves behind; nothing, once it has ended."""

import re
import subprocess
from pathlib import Path

from tests.kuberay.cluster.machine import cgroup_roots


def left(name: str) -> list[str]:
    """Processes, mounts, interfaces and cgroups that have to do with cluster ``name``."""
    found = [str(path) for root in cgroup_roots() for path in root.glob(f"{name}-*")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    listed = subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout
    found += [line for line in listed.splitlines() if f"{name}/" in line or f"{name}-" in line]
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True)
    found += re.findall(r"^(?:node0|sink0|cni0|to-\d)\S*", links.stdout, re.MULTILINE)
    return found
