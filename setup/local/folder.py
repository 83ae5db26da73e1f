"""Where an instance of the platform keeps its files: one folder, and a short name for it."""

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from setup.local.errors import SetupError

CHECKOUT: Final = Path(__file__).resolve().parents[2]

# A unix socket's path holds 107 bytes, and HAProxy wants 10 of them for itself. The longest of ours
# is HAProxy's, to which Serve adds the node's id.
_LONGEST_SOCKET: Final = len("/h//admin.sock") + 56
_LONGEST_ROOT: Final = 107 - 10 - _LONGEST_SOCKET

_PLAIN: Final = re.compile(r"[A-Za-z0-9/._+-]+")
"""Characters that neither a shell nor a settings file treats specially. Ray, and the scripts of
MariaDB and Galera, put paths into command lines."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one instance. ``root`` is absolute and identifies the instance."""

    root: Path

    @property
    def base(self) -> Path:
        """The root by a path of plain characters: itself, or a link to it."""
        return self.root if _is_plain(self.root) else self._link

    @property
    def conf(self) -> Path:
        """Rendered settings of the servers."""
        return self.base / "conf"

    @property
    def logs(self) -> Path:
        """Output of every part, rotated."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Generated passwords, readable by their owner only."""
        return self.root / "secrets"

    def data(self, part: str) -> Path:
        """Data of one part; all that survives a restart."""
        return self.base / "data" / part

    def log(self, part: str) -> Path:
        """Log file of one part."""
        return self.logs / f"{part}.log"

    @property
    def short(self) -> Path:
        """A short and plain path, for unix sockets: the root itself, or a link to it."""
        fits = len(os.fsencode(self.root)) <= _LONGEST_ROOT
        return self.root if fits and _is_plain(self.root) else self._link

    @property
    def sockets(self) -> Path:
        """Unix sockets, by their short path."""
        return self.short / "run"

    @property
    def python(self) -> str:
        """The running interpreter by a plain path: Ray starts its workers through a shell."""
        own = Path(sys.executable)
        return str(own if _is_plain(own) else self.short / "venv" / "bin" / own.name)

    @property
    def _link(self) -> Path:
        name = hashlib.sha256(b"%d:" % os.getuid() + os.fsencode(self.root)).hexdigest()[:10]
        # Not TMPDIR, which may be long itself.
        return Path("/tmp") / f"tags-{name}"

    def create(self) -> None:
        """Make the folders, and the links that are needed; idempotent."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        if self.short != self.root:
            if not self.short.is_symlink():
                self.short.symlink_to(self.root)
            ours = self.short.lstat().st_uid == os.getuid()
            if not ours or self.short.resolve() != self.root.resolve():
                raise SetupError(f"{self.short} is not our link to {self.root}; remove it")
        for folder in ("conf", "logs", "secrets", "data", "run"):
            (self.root / folder).mkdir(exist_ok=True)
        self.secrets.chmod(0o700)
        environment = self.root / "venv"
        if self.python != sys.executable and not environment.is_symlink():
            environment.symlink_to(sys.prefix)

    def remove_link(self) -> None:
        """Undo the link of `create`."""
        if self.short != self.root and self.short.is_symlink():
            self.short.unlink()


def _is_plain(path: Path) -> bool:
    return _PLAIN.fullmatch(str(path)) is not None
