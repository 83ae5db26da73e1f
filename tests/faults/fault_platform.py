"""The platform of a fault run: its own ports and data, small disks, a proxy."""

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from setup.local.leftovers import marked_processes
from setup.local.platform import Platform
from tests.faults.catalogue import Fault
from tests.faults.cut_off import CutOff, NoProxyError, build
from tests.free_port import free_port
from tests.waiting import wait_for_rest

# Size of a store's small disk. MariaDB's redo log and system tables take half of it.
_SMALL_MB: Final = {"kafka": 256, "mariadb": 768}

PROMISE_S: Final = 10.0
"""An aggregate must hold what was accepted this long ago. Stricter than the contract's 60 s, which
also saves a minute per row of the table; the answer itself may take as long as by contract."""
SETTINGS: Final = {"TAGS_AGGREGATE_PROMISE_S": str(PROMISE_S)}


@dataclass
class FaultPlatform:
    """A running platform with its proxy and small disks, if any."""

    platform: Platform
    cut_off: CutOff | None = None
    small_disks: dict[str, Path] = field(default_factory=dict)


def impossible(fault: Fault) -> str:
    """The reason why this machine cannot inject a fault; empty if it can."""
    if fault.small_disk and os.geteuid() != 0:
        return "only root may mount a file system"
    if fault.cut_process and os.geteuid() != 0:
        return "only root may access the sockets of other processes"
    if fault.cut_off:
        try:
            build()
        except NoProxyError as error:
            return str(error)
    return ""


@contextmanager
def fault_platform(
    root: Path,
    stack: str,
    *,
    logs: Path,
    cut_off: bool = False,
    small_disks: Collection[str] = (),
) -> Iterator[FaultPlatform]:
    """Starts everything; at the end stops it and removes ``root``.

    Logs are moved to ``logs``, which must not exist. After an error the run folder stays.

    Raises:
        AssertionError: a process is left behind.
    """
    environment = dict(SETTINGS)
    if cut_off:
        control_port, port = free_port(), free_port()
        environment["TAGS_MYSQL_PORT"] = str(port)
    platform = Platform(root, stack=stack, free=True, extra_environment=environment)
    with ExitStack() as closing:
        disks = {}
        for kind in small_disks:
            folder = platform.folder.data(f"{kind}-1")
            closing.enter_context(_small_disk(folder, _SMALL_MB[kind]))
            disks[f"{kind}-1"] = folder
        closing.callback(platform.down)
        proxy = None
        if cut_off:
            # With several nodes: the proxy in front of them.
            name = "mariadb" if platform.stack.mariadb_nodes == 1 else "mariadb_address"
            server_port = platform.ports[name]
            proxy = closing.enter_context(CutOff(control_port, port, server_port))
        platform.up()
        # The work of starting must not affect the first fault.
        wait_for_rest()
        yield FaultPlatform(platform, proxy, disks)
    left = [(process.pid, process.name()) for process in marked_processes(root)]
    assert not left, f"processes left behind: {left}"
    shutil.move(platform.folder.logs, logs)
    for session in (root / "ray").glob("session_2*"):
        shutil.move(session / "logs", logs / session.name)
    platform.clean_data()


@contextmanager
def _small_disk(folder: Path, size_mb: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=700", "tmpfs", str(folder))
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", str(folder)), check=True)
