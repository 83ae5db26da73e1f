"""A MySQL server in place of the MariaDB server: all that differs is here and in ``mysql.cnf``."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from setup.local.errors import MissingToolError
from setup.local.folder import CHECKOUT
from setup.local.parts.mariadb import MariaDbNode
from setup.local.templates import render
from setup.local.tools import current_user

_SERVER: Final = CHECKOUT / ".cache" / "mysql"

# As with MariaDB, the user that runs the server is the database's root. The jar lacks the plugin
# that knows it by the socket: the account has no password, and the socket's folder is closed.
_ROOT: Final = """\
CREATE USER IF NOT EXISTS '{user}'@'localhost';
GRANT ALL ON *.* TO '{user}'@'localhost' WITH GRANT OPTION;
"""


@dataclass(frozen=True)
class MySqlNode(MariaDbNode):
    """One mysqld."""

    @property
    def name(self) -> str:
        """``mysql-1``."""
        return f"mysql-{self.index + 1}"

    def files(self) -> dict[Path, str]:
        """As MariaDB has them, and MySQL's own."""
        files = super().files()
        files[self.config] += render("mysql.cnf")
        files[self._init_file] += _ROOT.format(user=current_user())
        return files

    def _set_up(self) -> Sequence[str]:
        # It wants an empty folder, and a set-up cut short leaves files.
        shutil.rmtree(self.data)
        self.data.mkdir()
        return (*self._server(), "--initialize-insecure")

    def _server(self) -> Sequence[str]:
        server = _SERVER / "bin" / "mysqld"
        if not server.exists():
            raise MissingToolError(f"{server} is not there: run `make setup STACK=mysql`")
        return str(server), f"--defaults-file={self.config}"
