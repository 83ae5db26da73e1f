"""supervisord of one instance: its settings from the list of programs, and talking to it."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from setup.local.errors import PartFailedError
from setup.local.folder import CHECKOUT, RunFolder
from setup.local.leftovers import INSTANCE_MARK, PART_MARK
from setup.local.templates import render
from setup.local.tools import current_user
from setup.local.waiting import tail, wait_for

_SECTION: Final = """
[program:{name}]
command={command}
directory={directory}
environment={part_mark}="{name}"
; `up` starts what it was asked for; from then on a death is answered with a restart.
autostart=false
autorestart=true
startsecs=1
startretries=100
stopsignal=TERM
stopwaitsecs={stop_wait_s}
stopasgroup={stop_group}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


@dataclass(frozen=True)
class Program:
    """One process that supervisord keeps running."""

    name: str
    command: tuple[str, ...]
    stop_wait_s: int = 20
    """How long it may take to stop before it is killed."""
    stop_group: bool = True
    """Signal its whole process group; off for one that stops its children itself."""


@dataclass(frozen=True)
class ProgramState:
    """The state of a program in supervisord. ``pid`` is 0 unless it runs."""

    name: str
    state: str
    pid: int
    detail: str


class Supervisor:
    """The supervisord of one run folder."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._socket = folder.sockets / "supervisor.sock"
        self.config = folder.conf / "supervisord.conf"

    def render(self, programs: Iterable[Program]) -> str:
        """Its whole settings file."""
        text = render(
            "supervisord.conf",
            user=current_user(),
            root=self._folder.base,
            logs=self._folder.base / "logs",
            socket=self._socket,
        )
        for program in programs:
            text += _SECTION.format(
                name=program.name,
                # supervisord expands %(name)s in its settings.
                command=shlex.join(program.command).replace("%", "%%"),
                directory=CHECKOUT,
                part_mark=PART_MARK,
                stop_wait_s=program.stop_wait_s,
                stop_group=str(program.stop_group).lower(),
                log=self._folder.base / "logs" / f"{program.name}.log",
            )
        return text

    def running(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, PartFailedError):
            return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it in the background, all programs stopped; returns when it answers."""
        self._socket.unlink(missing_ok=True)
        marked = {**environment, INSTANCE_MARK: str(self._folder.root)}
        log = self._folder.logs / "supervisord.log"
        done = subprocess.run(
            (sys.executable, "-m", "supervisor.supervisord", "-c", str(self.config)),
            env=marked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PartFailedError(f"supervisord does not start: {done.stderr.strip()}{tail(log)}")
        wait_for(
            "supervisord",
            lambda: None if self.running() else "does not answer",
            timeout_s=15,
            log=log,
            every_s=0.05,
        )

    def states(self) -> dict[str, ProgramState]:
        """Every program by name; empty when supervisord is not running."""
        try:
            answers = self._call("getAllProcessInfo")
        except OSError:
            return {}
        return {
            answer["name"]: ProgramState(
                answer["name"],
                answer["statename"],
                answer["pid"],
                answer["spawnerr"] or answer["description"],
            )
            for answer in answers
        }

    def start_programs(self, names: Iterable[str]) -> None:
        """Start those that do not run; returns at once."""
        for name in names:
            self._call("startProcess", name, False, ignore=Faults.ALREADY_STARTED)

    def stop_programs(self, names: Iterable[str], timeout_s: float = 60.0) -> None:
        """Stop them concurrently; returns when all are gone (or too slow: then sweep)."""
        deadline = time.monotonic() + timeout_s
        waiting = set(names)
        for name in waiting:
            self._call("stopProcess", name, False, ignore=Faults.NOT_RUNNING)
        while time.monotonic() < deadline and any(
            state.pid for name, state in self.states().items() if name in waiting
        ):
            time.sleep(0.05)

    def shutdown(self, timeout_s: float = 60.0) -> None:
        """End it and all that it runs; returns when it is gone (or too slow: then sweep)."""
        try:
            pid = int(self._call("getPID"))
            process = psutil.Process(pid)
            self._call("shutdown")
            process.wait(timeout_s)
        except (OSError, psutil.Error):
            return

    def _call(self, method: str, *arguments: object, ignore: int | None = None) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        with ServerProxy("http://127.0.0.1", transport) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except Fault as fault:
                if fault.faultCode == ignore:
                    return None
                raise PartFailedError(f"supervisord: {fault.faultString}") from None


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without variables that configure a server or another Ray."""
    return {
        name: value
        for name, value in (os.environ if base is None else base).items()
        if not name.startswith(("TAGS_", "RAY_", "SUPERVISOR_", "MYSQL_", "KAFKA_", "PYTHONPATH"))
    }
