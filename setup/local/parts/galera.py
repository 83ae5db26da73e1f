"""MariaDB nodes that form a Galera cluster, and the one address that leads to one of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from setup.local.errors import MissingToolError
from setup.local.folder import RunFolder
from setup.local.galera_node import NodeSession
from setup.local.http_get import fetch
from setup.local.parts.mariadb import AT_ITS_PRIORITY, MariaDbNode, select_one
from setup.local.parts.part import Kind
from setup.local.ports import HOST, Ports
from setup.local.supervision import Program
from setup.local.templates import render
from setup.local.tools import current_user, find_haproxy, find_tool

_PROVIDER: Final = Path("/usr/lib/galera/libgalera_smm.so")
_INSTALL: Final = "make setup STACK=cluster"


@dataclass(frozen=True)
class GaleraNode(MariaDbNode):
    """One of ``nodes``."""

    nodes: int
    all_ports: Ports

    @property
    def ports(self) -> dict[str, int]:
        """Clients' port, and those of the nodes among themselves."""
        return {
            "mariadb": self.port,
            **{
                name: self.all_ports[name] + self.index
                for name in ("galera", "galera_ist", "galera_sst")
            },
        }

    def files(self) -> dict[Path, str]:
        """As one alone has them, and what makes it one of several."""
        find_tool("wsrep_sst_mariabackup", "mariadb-server", _INSTALL)
        find_tool("mariadb-backup", "mariadb-backup", _INSTALL)
        if not _PROVIDER.exists():
            raise MissingToolError(f"{_PROVIDER} is not there: run `{_INSTALL}`")
        files = super().files()
        everyone = (f"{HOST}:{self.all_ports['galera'] + index}" for index in range(self.nodes))
        files[self.config] += render(
            "galera.cnf",
            provider=_PROVIDER,
            cluster_name=self.folder.base.name,
            cluster_address=f"gcomm://{','.join(everyone)}",
            node_name=self.name,
            user=current_user(),
            port=self.port,
            galera_port=self.ports["galera"],
            ist_port=self.ports["galera_ist"],
            sst_port=self.ports["galera_sst"],
        )
        return files

    def prepare(self) -> None:
        """System tables for the first node of a new cluster; the others are given theirs."""
        if self.index == 0 and not (self.data / "grastate.dat").exists():
            super().prepare()
        else:
            self.data.mkdir(parents=True, exist_ok=True)
            self._tmp.mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        """Decides whether to join or to bootstrap, and becomes the server."""
        command = (*AT_ITS_PRIORITY, sys.executable, "-m", "setup.local.galera_start")
        arguments = (str(self.folder.root), str(self.index + 1), str(self.nodes))
        return Program(self.name, (*command, *arguments), stop_wait_s=30)

    def problem(self) -> str | None:
        """Whether it is synced with a majority."""
        session = NodeSession(self.socket)
        state = session.state()
        session.close()
        if state is None:
            return "no answer"
        if not state.ready:
            return f"{state.comment}, {'' if state.primary else 'no majority, '}not to be used"
        return None


@dataclass(frozen=True)
class GaleraWatch:
    """Answers HAProxy's checks of all nodes."""

    kind: ClassVar = Kind.MARIADB
    folder: RunFolder
    all_ports: Ports
    nodes: Sequence[MariaDbNode]

    @property
    def name(self) -> str:
        """There is one."""
        return "mariadb-watch"

    @property
    def ports(self) -> dict[str, int]:
        """One per node."""
        first = self.all_ports["mariadb_check"]
        return {f"mariadb_check_{index + 1}": first + index for index in range(len(self.nodes))}

    def files(self) -> dict[Path, str]:
        """No settings files."""
        return {}

    def prepare(self) -> None:
        """Nothing to prepare."""

    def program(self) -> Program:
        """A small Python process."""
        arguments = (str(self.folder.root), str(self.all_ports["mariadb_check"]))
        command = (sys.executable, "-m", "setup.local.galera_watch", *arguments)
        return Program(self.name, (*command, str(len(self.nodes))))

    def problem(self) -> str | None:
        """Whether it answers at all: 503 is an answer."""
        for port in self.ports.values():
            try:
                fetch(f"http://{HOST}:{port}/", timeout_s=2)
            except OSError as error:
                if getattr(error, "code", None) != 503:
                    return f"no answer at {port} ({error})"
        return None


@dataclass(frozen=True)
class MariaDbAddress:
    """HAProxy: the address that clients use, which leads to one node and moves when that dies."""

    kind: ClassVar = Kind.MARIADB
    folder: RunFolder
    all_ports: Ports
    nodes: Sequence[MariaDbNode]

    @property
    def name(self) -> str:
        """There is one."""
        return "mariadb-address"

    @property
    def port(self) -> int:
        """Clients' port."""
        return self.all_ports["mariadb_address"]

    @property
    def ports(self) -> dict[str, int]:
        """Clients' port."""
        return {"mariadb_address": self.port}

    @property
    def password(self) -> str:
        """Of the application's user."""
        return self.nodes[0].password

    @property
    def _config(self) -> Path:
        return self.folder.conf / "haproxy-mariadb.cfg"

    def files(self) -> dict[Path, str]:
        """Its settings."""
        text = render(
            "haproxy-mariadb.cfg",
            socket=self.folder.sockets / f"{self.name}.sock",
            port=self.port,
        )
        check = self.all_ports["mariadb_check"]
        for index, node in enumerate(self.nodes):
            backup = " backup" if index else ""
            text += f"    server {node.name} {HOST}:{node.port} port {check + index}{backup}\n"
        return {self._config: text}

    def prepare(self) -> None:
        """Nothing to prepare."""

    def program(self) -> Program:
        """One process: no master process, no reloads."""
        return Program(self.name, (str(find_haproxy()), "-db", "-f", str(self._config)))

    def problem(self) -> str | None:
        """SELECT 1 as the application's user, on whichever node has the address."""
        return select_one(self.port, self.password)
