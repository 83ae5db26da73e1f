"""A temporary checkout of another revision, for a comparison."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from setup.local.folder import CHECKOUT

_SHARED = (".venv", ".cache")
"""Packages and Kafka's jars, shared by both sides."""


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A folder with ``revision`` checked out.

    Raises:
        subprocess.CalledProcessError: no such revision.
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
