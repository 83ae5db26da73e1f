"""Whether this machine can carry a cluster of its own, and if not, what it lacks."""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.kuberay.crd_schema import CRDS

PACKAGES: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "conntrack": "conntrack",
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "openssl": "openssl",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "socat": "socat",
    "ebtables": "ebtables",
    "ethtool": "ethtool",
    "busybox": "busybox-static",
}
"""Debian's package of each command that the cluster is made with."""
CGROUPS: Final = Path("/sys/fs/cgroup")
CNI_PLUGINS: Final = Path("/usr/lib/cni")
CONTROLLERS: Final = (
    *("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"),
    # Neither limits anything, but runc makes a cgroup in each.
    *("systemd", "unified"),
)
"""Of cgroup v1, each mounted apart; with v2 one mount has them all."""


def missing() -> list[str]:
    """In words, each with what would mend it; empty if a cluster can be made."""
    found = []
    if os.geteuid() != 0:
        found.append("not root: namespaces, mounts and cgroups are made")
    if shutil.which("go") is None:
        found.append("no command go: Kubernetes is built from Go modules")
    packages = {
        package
        for command, package in PACKAGES.items()
        if shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None
    }
    if not CNI_PLUGINS.is_dir():
        packages.add("containernetworking-plugins")
    if shutil.which("mvn") is None:
        packages.add("maven")
    if packages:
        found.append(f"apt-get install --no-install-recommends {' '.join(sorted(packages))}")
    if "overlay" not in Path("/proc/filesystems").read_text():
        found.append("the kernel has no overlay file system")
    found += [f"the kernel has no namespace of kind {kind}" for kind in _missing_namespaces()]
    if not cgroup_roots():
        found.append("no cgroup is mounted in /sys/fs/cgroup")
    if not list(CRDS.glob("kuberay-*.yaml")):
        found.append(f"no CRDs of KubeRay 1.7.0 (kuberay-*.yaml) in {CRDS}")
    return found


def need_machine() -> None:
    """Skip the test where no cluster can be made, and say what is missing."""
    if lacks := missing():
        pytest.skip(f"no cluster can be made here: {'; '.join(lacks)}")


def _missing_namespaces() -> list[str]:
    return [kind for kind in ("mnt", "net", "pid") if not Path(f"/proc/self/ns/{kind}").exists()]


def cgroup_roots(mount: Path = CGROUPS) -> list[Path]:
    """Folders in which a node's cgroup is made: one with cgroup v2, one a controller with v1."""
    if (mount / "cgroup.controllers").exists():
        return [mount]
    return [mount / name for name in CONTROLLERS if (mount / name).is_dir()]
