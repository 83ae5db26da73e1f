"""A cluster of our own leaves nothing behind when the test that made it is killed.

Of those that end otherwise fixture ``own_cluster`` says the same.
"""

import signal
import subprocess
import sys

import pytest

from tests.kuberay.cluster.cluster import CACHE, remove_left_over
from tests.kuberay.cluster.left import left
from tests.kuberay.cluster.machine import need_machine
from tests.kuberay.manifests import CHECKOUT
from tests.kuberay.pods.conftest import given_kube
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _a_machine() -> None:
    if given_kube():
        pytest.skip("KUBECONFIG leads to a cluster that somebody else made")
    need_machine()


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
