"""Where an instance of the platform keeps its files: one folder, and a short name for it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from setup.local.errors import SetupError

CHECKOUT: Final = Path(__file__).resolve().parents[2]

# A unix socket's path holds 107 bytes, and HAProxy wants 10 of them for itself. The longest of ours
# is HAProxy's, to which Serve adds the node's id: /h/<56 hex digits>/admin.sock is 69 bytes.
_LONGEST_ROOT: Final = 107 - 10 - 69


@dataclass(frozen=True)
class RunFolder:
    """Paths of one instance. ``root`` is absolute and identifies the instance."""

    root: Path

    @property
    def conf(self) -> Path:
        """Rendered settings of the servers."""
        return self.root / "conf"

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
        return self.root / "data" / part

    def log(self, part: str) -> Path:
        """Log file of one part."""
        return self.logs / f"{part}.log"

    @property
    def short(self) -> Path:
        """A short path to ``root``, for unix sockets: the root itself, or a link to it."""
        if len(os.fsencode(self.root)) <= _LONGEST_ROOT:
            return self.root
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:10]
        # Not TMPDIR, which may be long itself.
        return Path("/tmp") / f"tags-{os.getuid()}-{digest}"

    @property
    def sockets(self) -> Path:
        """Unix sockets, by their short path."""
        return self.short / "run"

    def create(self) -> None:
        """Make the folders, and the link if one is needed; idempotent."""
        for folder in (self.conf, self.logs, self.secrets, self.root / "data", self.root / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        self.secrets.chmod(0o700)
        if self.short == self.root:
            return
        if not self.short.is_symlink():
            self.short.symlink_to(self.root)
        if self.short.lstat().st_uid != os.getuid() or self.short.resolve() != self.root.resolve():
            raise SetupError(f"{self.short} is not our link to {self.root}; remove it")

    def remove_link(self) -> None:
        """Undo the link of `create`."""
        if self.short != self.root and self.short.is_symlink():
            self.short.unlink()
