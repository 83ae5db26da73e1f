"""A cluster of our own leaves nothing behind, also when the test that made it is killed."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kuberay.cluster.cluster import CACHE, cluster, remove_left_over
from tests.kuberay.cluster.machine import cgroup_roots, need_machine
from tests.kuberay.manifests import CHECKOUT
from tests.kuberay.pods.conftest import given_kube
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _a_machine() -> None:
    if given_kube():
        pytest.skip("KUBECONFIG leads to a cluster that somebody else made")
    need_machine()


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


def test_a_cluster_comes_up_and_leaves_nothing() -> None:
    with cluster() as made:
        name = made.folder.name
        listed = subprocess.run(
            ["kubectl", "get", "pods", "-A", "--no-headers"],
            env={**os.environ, "KUBECONFIG": str(made.kubeconfig)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for pod in ("coredns", "local-path-provisioner", "kuberay-operator"):
            assert re.search(rf"{pod}-\S+ +1/1 +Running", listed), listed
        assert left(name)

    assert not left(name)
    assert not made.folder.exists()


def test_a_killed_test_leaves_nothing() -> None:
    script = """
from tests.kuberay.cluster.cluster import cluster
with cluster() as made:
    print(made.folder.name, flush=True)
    input()
"""
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        name = running.stdout.readline().strip()
        assert left(name)
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()

    wait_until("nothing to be left", lambda: not left(name), timeout_s=30)
    # Its files go when the next cluster is made.
    remove_left_over(CACHE / "run")
    assert not (CACHE / "run" / name).exists()
