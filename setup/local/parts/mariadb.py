"""A MariaDB server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import pymysql

from serve_app import priority
from setup.local.folder import RunFolder
from setup.local.parts.part import Kind
from setup.local.passwords import password
from setup.local.ports import HOST
from setup.local.supervision import Program
from setup.local.templates import render
from setup.local.tools import current_user, find_tool, run_tool

DATABASE: Final = "user_tags"
USER: Final = "tags"
# By default glibc gives nearly each thread an arena of its own, which keeps some 25 MB of the long
# statements that passed it: 270 MB were seen after a rebuild.
AT_ITS_PRIORITY: Final = (*priority.at(priority.MYSQL), "env", "MALLOC_ARENA_MAX=2")
"""What goes before a server's command."""
_SECRET: Final = "mysql_password"

# Run at each start. The password is ours (URL-safe characters), so it needs no quoting.
_INIT: Final = """\
CREATE DATABASE IF NOT EXISTS {database};
CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
ALTER USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL ON {database}.* TO '{user}'@'127.0.0.1';
"""


@dataclass(frozen=True)
class MariaDbNode:
    """One mariadbd; ``index`` counts from 0."""

    kind: ClassVar = Kind.MARIADB
    folder: RunFolder
    index: int
    port: int
    buffer_pool_mb: int

    @property
    def name(self) -> str:
        """``mariadb-1`` and so on."""
        return f"mariadb-{self.index + 1}"

    @property
    def ports(self) -> dict[str, int]:
        """Clients' port."""
        return {"mariadb": self.port}

    @property
    def password(self) -> str:
        """Of the application's user."""
        return password(self.folder, _SECRET)

    @property
    def config(self) -> Path:
        """Its settings file."""
        return self.folder.conf / f"{self.name}.cnf"

    @property
    def socket(self) -> Path:
        """Its unix socket, on which the database's root needs no password."""
        return self.folder.sockets / f"{self.name}.sock"

    @property
    def _tmp(self) -> Path:
        return self.folder.base / "tmp" / self.name

    @property
    def _init_file(self) -> Path:
        # Beside the password itself, so in the folder that is closed to others.
        return self.folder.base / "secrets" / f"{self.name}.sql"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder.data(self.name)

    def files(self) -> dict[Path, str]:
        """Its settings, and the statements that create database and user."""
        text = render(
            "mariadb.cnf",
            user=current_user(),
            data=self.data,
            tmp=self._tmp,
            socket=self.socket,
            init_file=self._init_file,
            port=self.port,
            buffer_pool_mb=self.buffer_pool_mb,
        )
        init = _INIT.format(database=DATABASE, user=USER, password=self.password)
        return {self.config: text, self._init_file: init}

    def prepare(self) -> None:
        """System tables when absent. The marker file tells a finished set-up from a broken one."""
        self._tmp.mkdir(parents=True, exist_ok=True)
        finished = self.data / "initialised"
        if finished.exists():
            return
        self.data.mkdir(parents=True, exist_ok=True)
        command = self._set_up()
        run_tool(
            f"{self.name}: {Path(command[0]).name}",
            command,
            self.folder.log(self.name),
            timeout_s=120,
        )
        finished.touch()

    def program(self) -> Program:
        """The server in the foreground."""
        return Program(self.name, (*AT_ITS_PRIORITY, *self._server()), stop_wait_s=30)

    def problem(self) -> str | None:
        """SELECT 1 as the application's user."""
        return select_one(self.port, self.password)

    def _set_up(self) -> Sequence[str]:
        """The command that makes system tables."""
        user = current_user()
        return (
            find_tool("mariadb-install-db", "mariadb-server-core"),
            # First: it must be. No settings of the system's own server are read.
            f"--defaults-file={self.config}",
            f"--datadir={self.data}",
            f"--user={user}",
            # The user that runs the server is the database's root, known by the socket.
            "--auth-root-authentication-method=socket",
            f"--auth-root-socket-user={user}",
            "--skip-test-db",
            "--skip-log-error",
        )

    def _server(self) -> Sequence[str]:
        """The command that becomes the server."""
        return find_tool("mariadbd", "mariadb-server-core"), f"--defaults-file={self.config}"


def connect(port: int, password: str) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """As the application's user; raises pymysql.MySQLError within 2 s."""
    return pymysql.connect(
        host=HOST,
        port=port,
        user=USER,
        password=password,
        database=DATABASE,
        connect_timeout=2,
        read_timeout=2,
        # As in galera_node.py.
        ssl_disabled=True,
    )


def select_one(port: int, password: str) -> str | None:
    """SELECT 1 as the application's user: None, or what is wrong."""
    try:
        with connect(port, password) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except pymysql.MySQLError as error:
        return f"no connection ({error.args[-1]})"
    return None
