"""Images as containerd keeps them: imported once, and each node begins with a copy.

A copy is of hard links, made in seconds: containerd never changes a layer or a blob, it only adds.
Its databases it does change, and they are copied.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.waiting import wait_until

_IMPORTED: Final = "imported"
"""A file with the archives that are in the store, a line each."""


def prepare(store: Path, archives: Sequence[Path]) -> None:
    """Bring in what is not in ``store`` yet; an image's earlier version goes.

    RuntimeError with what containerd says if it refuses one.
    """
    store.mkdir(parents=True, exist_ok=True)
    imported = store / _IMPORTED
    there = imported.read_text().splitlines() if imported.exists() else []
    wanted = [archive.name for archive in archives]
    if missing := [archive for archive in archives if archive.name not in there]:
        with _containerd(store) as socket:
            for archive in missing:
                _import(socket, archive)
        imported.write_text("\n".join(wanted) + "\n")


@contextmanager
def _containerd(root: Path) -> Iterator[Path]:
    """Without Kubernetes' part; what it mounts while it unpacks is in a namespace of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, socket = folder / "config.toml", folder / "containerd.sock"
        config.write_text(
            f'version = 2\nroot = "{root}"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\n  address = "{socket}"\n'
            f'[plugins."io.containerd.internal.v1.opt"]\n  path = "{folder}/opt"\n'
        )
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    *("unshare", "--mount", "--", "containerd", f"--config={config}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until("containerd", socket.exists, timeout_s=20)
            yield socket
        finally:
            running.terminate()
            running.wait()


def _import(socket: Path, archive: Path) -> None:
    command = ["ctr", "-a", str(socket), "-n", "k8s.io", "images", "import", str(archive)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{archive.name}: {ran.stderr}")


def copy(store: Path, root: Path) -> None:
    """Make ``root``, on the same file system, a node's own."""
    subprocess.run(["cp", "-al", str(store), str(root)], check=True)
    for folder in ("io.containerd.metadata.v1.bolt", "io.containerd.snapshotter.v1.overlayfs"):
        for database in (root / folder).glob("*.db"):
            linked = database.rename(database.with_suffix(".linked"))
            shutil.copy2(linked, database)
            linked.unlink()
