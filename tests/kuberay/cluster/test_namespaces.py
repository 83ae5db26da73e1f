"""A node's namespaces leave nothing behind, whatever ends the test that made them."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kuberay.cluster.machine import cgroup_roots
from tests.kuberay.cluster.namespaces import Namespaces
from tests.waiting import wait_until

NAMES = (f"user-tags-test-{os.getpid()}-{number}" for number in itertools.count())
MARK = f"3.{os.getpid()}"
"""An argument of `sleep` that nobody else has."""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not cgroup_roots(), reason="needs root, and cgroups"
)


def sleepers() -> list[str]:
    ran = subprocess.run(["pgrep", "-f", f"sleep {MARK}"], capture_output=True, check=False)
    return ran.stdout.decode().split()


def cgroups(name: str) -> list[Path]:
    return [root / name for root in cgroup_roots() if (root / name).exists()]


def test_a_node_has_a_network_and_processes_of_its_own(tmp_path: Path) -> None:
    name = next(NAMES)
    with Namespaces(name, tmp_path) as node:
        node.start("sleeper", ["sleep", f"{MARK}d"])
        wait_until("the process", sleepers, timeout_s=5)
        assert cgroups(name)
        assert "eth0" not in node.run("ip", "-brief", "address")
        assert len(node.run("ps", "-e", "--no-headers").splitlines()) < 10

    assert not sleepers()
    assert not cgroups(name)


def test_a_killed_test_leaves_nothing(tmp_path: Path) -> None:
    name = next(NAMES)
    script = f"""
import pathlib, time
from tests.kuberay.cluster.namespaces import Namespaces
with Namespaces({name!r}, pathlib.Path({str(tmp_path)!r})) as node:
    node.start("sleeper", ["sleep", "{MARK}d"])
    time.sleep(60)
"""
    running = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_until("the process", sleepers, timeout_s=10)
        assert cgroups(name)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()

    wait_until("nothing to be left", lambda: not sleepers() and not cgroups(name), timeout_s=10)


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with (
        Namespaces(next(NAMES), tmp_path) as node,
        pytest.raises(AssertionError, match="No such file"),
    ):
        node.run("ls", "/no/such/folder")
