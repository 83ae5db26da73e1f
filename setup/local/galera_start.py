"""Starts one Galera node; decides which node bootstraps the cluster when none is up.

supervisord runs ``python -m setup.local.galera_start <run folder> <node, from 1> <nodes>``, which
then becomes mariadbd itself.

A node joins if another one is in a primary component (a majority). If none is, after a stop or a
kill -9 of all, one node has to bootstrap, and must have every acknowledged commit: the one with the
highest position. So each node determines its own position, shows it to the others in a file that it
holds a lock on, and waits until all of them do. Then all know the same positions, and one
bootstraps. A node that lost its majority but is still running is stopped after a while, to decide
with the others. The others join one by one: a node that catches up keeps a core busy for seconds,
and two at once filled both cores of a small machine.

The cluster is never bootstrapped before all nodes have shown their position: a missing one may have
the last commit.
"""

import contextlib
import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from serve_app import priority
from setup.local.folder import RunFolder
from setup.local.galera_node import NodeSession, NodeState
from setup.local.leftovers import marked_processes, sweep
from setup.local.tools import find_tool

NO_UUID: Final = "00000000-0000-0000-0000-000000000000"
_LOOK_S: Final = 0.2
_STEP_BYTES: Final = 64 * 1024
_WITHOUT_MAJORITY_S: Final = 8.0
"""How long a running node may look for its majority, which it finds by itself if it can."""
_TURN_S: Final = 60.0
"""How long a node waits for others that are starting before it joins: one may hang."""
_RECOVERED: Final = re.compile(r"WSREP: Recovered position: ([0-9a-f-]{36}):(-?\d+)")


@dataclass(frozen=True)
class GaleraPosition:
    """The last transaction that a node has: the cluster's id and a sequence number."""

    uuid: str
    seqno: int

    @property
    def empty(self) -> bool:
        """Whether it has no data: it gets all of them from another node."""
        return self.uuid == NO_UUID


class StartError(Exception):
    """No node can bootstrap without a person's decision; the message says why."""


def leader(positions: Mapping[str, GaleraPosition]) -> str:
    """The node that bootstraps: the highest position, and among equals the first by name.

    Raises:
        StartError: data of two different clusters.
    """
    clusters = {position.uuid for position in positions.values() if not position.empty}
    if len(clusters) > 1:
        raise StartError(
            f"the nodes hold data of different clusters: {dict(positions)}. Move the data folder "
            "of those that are wrong away, and they are filled again."
        )
    highest = max((not position.empty, position.seqno) for position in positions.values())
    return min(
        name
        for name, position in positions.items()
        if (not position.empty, position.seqno) == highest
    )


def parse_grastate(text: str) -> GaleraPosition:
    """Position as ``grastate.dat`` has it: seqno -1 unless the node was stopped in good order."""
    values = dict(re.findall(r"^(\w+):\s*(\S+)\s*$", text, re.MULTILINE))
    return GaleraPosition(values.get("uuid", NO_UUID), int(values.get("seqno", -1)))


class Starter:
    """One node that is starting."""

    def __init__(self, folder: RunFolder, number: int, nodes: int) -> None:
        """``number`` counts from 1."""
        self._folder = folder
        self._names = [f"mariadb-{index + 1}" for index in range(nodes)]
        self._name = self._names[number - 1]
        self._data = folder.data(self._name)
        self._sessions = {
            name: NodeSession(folder.sockets / f"{name}.sock")
            for name in self._names
            if name != self._name
        }
        self._server = (
            find_tool("mariadbd", "mariadb-server-core"),
            f"--defaults-file={folder.conf / f'{self._name}.cnf'}",
        )

    def command(self) -> tuple[str, ...]:
        """Wait until it is clear how to start; the command line of mariadbd."""
        # Left behind by a killed mariadbd, such as a transfer that holds its port.
        sweep(self._folder.root, self._name)
        read_gently(self._data / "galera.cache")
        with self._file(self._name, "deciding").open("a+") as own:
            # A lock ends with its holder: what a killed one wrote counts for nothing.
            fcntl.flock(own, fcntl.LOCK_EX)
            own.truncate(0)
            position = self._position()
            say(f"has {position}")
            own.write(f"{position.uuid} {position.seqno}")
            own.flush()
            options = self._decide(position)
            keep_lock_for_life(self._file(self._name, "server"))
        if not position.empty:
            options = (f"--wsrep-start-position={position.uuid}:{position.seqno}", *options)
        return (*self._server, *options)

    def _decide(self, own: GaleraPosition) -> tuple[str, ...]:
        lonely_since: float | None = None
        waits_since: float | None = None
        while True:
            states = {name: session.state() for name, session in self._sessions.items()}
            there = {name: state for name, state in states.items() if state is not None}
            if any(state.primary for state in there.values()):
                waits_since = waits_since or time.monotonic()
                if not self.before(there) or time.monotonic() - waits_since > _TURN_S:
                    return self._join(there)
                time.sleep(_LOOK_S)
                continue
            positions = {self._name: own}
            for name in self._sessions:
                position = self.shown(name)
                if position is not None:
                    positions[name] = position
            if len(positions) == len(self._names) and leader(positions) == self._name:
                return self._begin()
            if there:
                lonely_since = lonely_since or time.monotonic()
                if time.monotonic() - lonely_since > _WITHOUT_MAJORITY_S:
                    for name in there:
                        self._stop(name)
                    lonely_since = None
            else:
                lonely_since = None
            time.sleep(_LOOK_S)

    def before(self, there: Mapping[str, NodeState]) -> list[str]:
        """Nodes that join before this one: servers that are starting, and the first waiting one.

        ``there`` holds the nodes that answer.
        """
        return [
            name
            for name in self._sessions
            if not (name in there and there[name].ready)
            and (
                is_locked(self._file(name, "server"))
                or (name < self._name and self.shown(name) is not None)
            )
        ]

    def _join(self, there: Mapping[str, NodeState]) -> tuple[str, ...]:
        # If all data must come from another node, then from one without clients. The comma at the
        # end: any other will do, too.
        donors = sorted(
            (name for name, state in there.items() if state.ready),
            key=lambda name: there[name].connections,
        )
        say(f"joins {', '.join(there)}")
        return (f"--wsrep-sst-donor={','.join(donors)},",) if donors else ()

    def _begin(self) -> tuple[str, ...]:
        say("begins: no other node has more, and none is in a majority")
        state = self._data / "grastate.dat"
        if state.exists():
            text = state.read_text().replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1")
            state.write_text(text)
        return ("--wsrep-new-cluster",)

    def _position(self) -> GaleraPosition:
        state = self._data / "grastate.dat"
        if not state.exists():
            return GaleraPosition(NO_UUID, -1)
        position = parse_grastate(state.read_text())
        # No cluster id: it never joined, or a transfer of all data was cut short.
        if position.empty or position.seqno >= 0:
            return position
        log = self._folder.logs / f"{self._name}-recovery.log"
        log.unlink(missing_ok=True)
        # The whole server starts for one line of its log.
        command = (*priority.at(priority.LEFTOVER), *self._server, "--wsrep-recover")
        subprocess.run((*command, "--skip-networking", f"--log-error={log}"), check=False)
        found = _RECOVERED.search(log.read_text(errors="replace"))
        if found is None:
            raise StartError(f"{self._server[0]} --wsrep-recover told no position: see {log}")
        return GaleraPosition(found[1], int(found[2]))

    def shown(self, name: str) -> GaleraPosition | None:
        """Position that another node shows; None if it is not deciding, or has none yet."""
        path = self._file(name, "deciding")
        words = path.read_text().split() if is_locked(path) else []
        return GaleraPosition(words[0], int(words[1])) if len(words) == 2 else None

    def _stop(self, name: str) -> None:
        say(f"stops {name}, which lives without a majority, to decide with it who begins")
        for process in marked_processes(self._folder.root, name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()

    def _file(self, name: str, lock: str) -> Path:
        return self._folder.root / "run" / f"{name}.{lock}"


def keep_lock_for_life(path: Path) -> None:
    """Lock a file for as long as this process lives, also when it becomes another program."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.set_inheritable(file, True)


def is_locked(path: Path) -> bool:
    """Whether another live process holds a lock on the file; False if there is no file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def read_gently(path: Path) -> None:
    """Bring a file into the page cache in small steps, in each of which others get the processor.

    Galera maps its cache and reads it from end to end. Most of it was never written, and where the
    system reads far ahead (8 MB) the kernel fills as much with zeros at each page fault: 18 ms
    in which nobody else runs on that core if the kernel does not preempt itself. Three nodes that
    started at once kept two cores from everyone for up to 0.1 s.
    """
    with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        # What is cached has the marks of a killed server's mapping, at each of which Linux reads as
        # far ahead as ever, also for who reads at random: 12 ms, twelve times a file.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        while file.read(_STEP_BYTES):
            pass


def say(line: str) -> None:
    """Into the node's log."""
    print(f"galera_start: {line}", flush=True)


def main() -> int:
    """Become mariadbd; the exit status if that fails."""
    root, number, nodes = sys.argv[1:]
    try:
        command = Starter(RunFolder(Path(root)), int(number), int(nodes)).command()
    except StartError as error:
        say(str(error))
        # supervisord tries again; not in a tight loop.
        time.sleep(2)
        return 1
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
