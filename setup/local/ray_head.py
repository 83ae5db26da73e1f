"""Runs Ray's head node and deploys both applications; supervisord runs it as ``ray``.

Ray keeps Serve's state in memory, so whenever the head starts the applications are deployed
again. Whatever a former head left running is ended first: its HAProxy would hold the port and
answer from dead replicas.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from serve_app import priority
from setup.local.errors import PartFailedError, SetupError
from setup.local.http_get import fetch
from setup.local.leftovers import INSTANCE_MARK, PART_MARK, sweep
from setup.local.parts.ray import RayHead
from setup.local.platform import Platform
from setup.local.supervision import clean_environment

_KEPT_SESSIONS: Final = 3
_DASHBOARD_TIMEOUT_S: Final = 90.0
_LOOK_S: Final = 1.0
METRICS_AGENT: Final = "ray::DashboardAgent"
"""Ray's process title of the agent that collects the metrics of all others."""


class _Stop(Exception):
    """supervisord asked to stop."""


def run(root: Path, stack: str) -> int:
    """Start, deploy, wait; the exit status. Leaves no process of this part behind."""
    signal.signal(signal.SIGTERM, _stop)
    platform = Platform(root, stack=stack)
    head = platform.ray
    sweep(root, head.name)
    _drop_old_sessions(head.temp_dir)
    head.stagger_file.unlink(missing_ok=True)
    environment = {**clean_environment(), **_marks(), **head.environment()}
    ray = subprocess.Popen(head.start_command(), env=environment)
    try:
        _wait_for_dashboard(head, ray)
        subprocess.run(head.deploy_command(), env=environment, check=True)
        _wait_for_applications(head, ray)
        # From now on there are requests, which several simultaneous starts would delay.
        head.stagger_file.touch()
        _lower_priority(ray)
        return ray.wait()
    except _Stop:
        return 0
    except (SetupError, subprocess.CalledProcessError) as error:
        print(f"ray: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if ray.poll() is None:
            # It ends its own children; the sweep ends those that it misses.
            ray.terminate()
            try:
                ray.wait(10)
            except subprocess.TimeoutExpired:
                ray.kill()
        sweep(root, head.name)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _Stop


def _marks() -> dict[str, str]:
    return {name: os.environ[name] for name in (INSTANCE_MARK, PART_MARK) if name in os.environ}


def _wait_for_dashboard(head: RayHead, ray: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _DASHBOARD_TIMEOUT_S
    while ray.poll() is None:
        try:
            fetch(f"{head.dashboard_url}/api/serve/applications/")
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SetupError(f"the dashboard does not answer: {error}") from error
        time.sleep(0.2)
    raise SetupError(f"`ray start` ended with exit status {ray.returncode}")


def _wait_for_applications(head: RayHead, ray: subprocess.Popen[bytes]) -> None:
    while ray.poll() is None:
        # An application that failed to deploy may be fixed and deployed again.
        with contextlib.suppress(PartFailedError):
            if head.problem() is None:
                return
        time.sleep(_LOOK_S)


def _lower_priority(ray: subprocess.Popen[bytes]) -> None:
    """Give the metrics agent low priority, so that no process that serves requests waits for it.

    In Ray 2.60 it counts every sample of a histogram again, one by one, when they arrive every
    10 s (https://github.com/ray-project/ray/pull/64891): at 1,000 tags/s a tenth of a core, in
    one burst. If it dies the whole node does, so this holds until Ray is started again.
    """
    agents = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(ray.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if process.cmdline()[:1] == [METRICS_AGENT]:
                    agents.append(process)
                    threads = [thread.id for thread in process.threads()]
                    priority.set_threads(threads, priority.METRICS)
    if not agents:
        print(f"ray: no {METRICS_AGENT} to give low priority to", file=sys.stderr, flush=True)


def _drop_old_sessions(temp_dir: Path) -> None:
    """Keep the last few sessions' logs."""
    sessions = sorted(temp_dir.glob("session_2*"))
    for session in sessions[: -_KEPT_SESSIONS + 1]:
        shutil.rmtree(session, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2]))
