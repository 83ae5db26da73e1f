"""Ray under supervision, with tiny applications: deployed, back after a kill, gone after down."""

import contextlib
import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from serve_app.priority import METRICS
from setup.local.errors import PartFailedError
from setup.local.http_get import fetch
from setup.local.leftovers import marked_processes
from setup.local.platform import Platform
from setup.local.ray_head import METRICS_AGENT
from tests.marks import second_tier


@second_tier
def test_applications_come_back_after_ray_died_and_down_leaves_nothing(tmp_path: Path) -> None:
    stub = Path(__file__).with_name("stub_serve.yaml")
    platform = Platform(tmp_path, free=True, serve_config=stub)
    try:
        platform.up(["ray"])
        assert fetch(f"{platform.ray.url}/case3/any") == b"echo"
        _wait_until_staggered(platform)
        _wait_until_behind(tmp_path)

        processes = marked_processes(tmp_path)
        (gcs,) = (process for process in processes if process.name() == "gcs_server")
        gcs.kill()
        # All are started at once again.
        _wait_until_staggered(platform, gone=True)
        deadline = time.monotonic() + 90
        while gcs.is_running() or platform.ray.problem() or not _gcs(tmp_path):
            assert time.monotonic() < deadline, platform.ray.problem()
            time.sleep(0.5)
        assert fetch(f"{platform.ray.url}/any") == b"echo"
        _wait_until_staggered(platform)
        _wait_until_behind(tmp_path)
    finally:
        platform.down()
    assert marked_processes(tmp_path) == []
    assert not [process for process in processes if process.is_running()]


@second_tier
def test_an_ingress_that_cannot_start_is_named_with_its_cause_and_soon(tmp_path: Path) -> None:
    stub = Path(__file__).with_name("stub_serve.yaml")
    broken = {"INGRESS_PYTHON": "/nowhere/python"}
    platform = Platform(tmp_path, free=True, serve_config=stub, extra_environment=broken)
    begun = time.monotonic()
    try:
        with pytest.raises(PartFailedError, match=r"HAProxy: .*/nowhere/python: not found"):
            platform.up(["ray"])
        assert time.monotonic() - begun < 90
    finally:
        platform.down()


def test_what_haproxy_said_at_its_end_is_told_and_nothing_while_one_runs(tmp_path: Path) -> None:
    platform = Platform(tmp_path, free=True)
    platform.folder.create()
    head = platform.ray
    head.prepare()
    assert head.crash() is None
    node = platform.folder.short / "h" / ("f" * 56)
    node.mkdir()
    (node / "admin.sock.7.1.stderr.log").write_text("")
    assert head.crash() is None
    (node / "admin.sock.7.1.stderr.log").write_text("[NOTICE] : no server state file\n")
    assert head.crash() is None
    (node / "admin.sock.7.1.stderr.log").write_text("setup/ingress/haproxy: 5: exec: not found\n")
    assert head.crash() == "HAProxy: setup/ingress/haproxy: 5: exec: not found"
    (node / "admin.sock.7.2.stderr.log").write_text("[ALERT] : cannot bind socket\n")
    assert head.crash() == "HAProxy: [ALERT] : cannot bind socket"
    with socket.socket(socket.AF_UNIX) as running:
        running.bind(str(node / "admin.sock"))
        running.listen()
        assert head.crash() is None
    platform.folder.remove_link()


def _wait_until_staggered(platform: Platform, *, gone: bool = False) -> None:
    """New processes start one after the other, or no more so."""
    deadline = time.monotonic() + 30
    while platform.ray.stagger_file.exists() is gone:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _wait_until_behind(root: Path) -> None:
    """Every thread of the metrics agent has low priority, and the raylet has not."""
    deadline = time.monotonic() + 30
    while _priorities(root, METRICS_AGENT) != {METRICS}:
        assert time.monotonic() < deadline, _priorities(root, METRICS_AGENT)
        time.sleep(0.05)
    (normal,) = _priorities(root, "raylet")
    assert normal < METRICS


def _priorities(root: Path, name: str) -> set[int]:
    """Niceness of all threads of the processes with this title or file name."""
    found = set()
    for process in marked_processes(root):
        # It may end meanwhile.
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if [Path(part).name for part in process.cmdline()[:1]] == [name]:
                found |= {os.getpriority(os.PRIO_PROCESS, one.id) for one in process.threads()}
    return found


def _gcs(root: Path) -> list[psutil.Process]:
    return [process for process in marked_processes(root) if process.name() == "gcs_server"]
