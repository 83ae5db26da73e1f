"""Another revision of this repository, checked out beside it for the time of a comparison."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from setup.local.folder import CHECKOUT

_SHARED = (".venv", ".cache")
"""Installed packages and Kafka's jars: the same for both sides."""


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A folder that holds ``revision``.

    Raises:
        subprocess.CalledProcessError: there is no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="rev-") as parent:
        folder = Path(parent) / "c"
        git = ("git", "-C", str(CHECKOUT), "worktree")
        subprocess.run([*git, "add", "--detach", "--quiet", str(folder), revision], check=True)
        try:
            for name in _SHARED:
                (folder / name).symlink_to(CHECKOUT / name)
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)
