"""A whole cluster of one node or several, from what build.sh and images.sh built.

All of it is in folders and namespaces of its own and ends with the process that made it. What of
its files is left after a kill goes when the next one starts.
"""

import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.free_port import free_port
from tests.kuberay.cluster import addons, changed_image, control_plane, node, store
from tests.kuberay.cluster.config import kubeconfig
from tests.kuberay.cluster.machine import cgroup_roots
from tests.kuberay.cluster.memory import working_set
from tests.kuberay.cluster.namespaces import Namespaces, clean_up_script
from tests.kuberay.cluster.network import connect, connect_first, disconnect, way_in

HERE: Final = Path(__file__).parent
CACHE: Final = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "user-tags" / "kubernetes"
)
_MOST_NODES: Final = 9
OUTSIDE: Final = _MOST_NODES + 1
"""The number, among the addresses, of a host that is no node."""


class Cluster:
    """Node 1 has the control plane; the others come and go."""

    def __init__(self, folder: Path, binaries: Path, images: Path) -> None:
        """Nothing is started. ``images`` is a store (`store.prepare`) on the same file system."""
        self.folder = folder
        self.binaries = binaries
        self.kubeconfig = folder / "kubeconfig"
        """Of the administrator, as this machine reaches the API server."""
        self._images = images
        self._all = ExitStack()
        self._nodes: dict[int, ExitStack] = {}
        self._running: dict[int, Namespaces] = {}

    def name(self, number: int) -> str:
        """Of node 1 and so on."""
        return f"{self.folder.name}-{number}"

    def volumes(self, number: int) -> Path:
        """Where the local volumes of a node are."""
        return self.folder / f"node-{number}" / "volumes"

    def start(self, nodes: int) -> None:
        """Returns when all nodes, and what every cluster has, are ready."""
        self._first = self._make(1)
        connect_first(self._first)
        self._plane = control_plane.start(self._first, self.binaries, self.folder / "pki")
        port = free_port()
        self._all.enter_context(way_in(self._first, port))
        self.kubeconfig.write_text(
            kubeconfig(self.folder / "pki", "admin", f"https://127.0.0.1:{port}")
        )
        node.start(self._plane, self._first, 1)
        for number in range(2, nodes + 1):
            self.start_node(number)
        # Also for nodes that come later.
        numbers = range(1, _MOST_NODES + 1)
        addons.install(self._plane, {self.name(n): self.volumes(n) for n in numbers})

    def start_node(self, number: int) -> None:
        """Of number 2 to 9.

        One that was stopped finds its volumes and pods again; a new one has only the images that
        every node begins with.
        """
        assert 2 <= number <= _MOST_NODES, number
        made = self._make(number)
        connect(made, number, self._first)
        node.start(self._plane, made, number)

    def stop_node(self, number: int) -> None:
        """As a power cut does: nothing on it gets to say anything, its kernel neither."""
        # First: the end of a process closes its connections, and the others would hear of that.
        disconnect(number, self._first)
        self._end(number)

    def lose_disk(self, number: int) -> None:
        """Of a node that is stopped: nobody can read its volumes any more, and it does not return.

        Its logs stay, for whoever wants to know how it went.
        """
        assert number not in self._nodes, f"node {number} still runs"
        for name in ("volumes", "containerd", "kubelet"):
            shutil.rmtree(self.folder / f"node-{number}" / name, ignore_errors=True)

    def outside(self) -> Namespaces:
        """A host that reaches the nodes and is none of them, until all stops; made at most once."""
        folder = self.folder / "outside"
        made = self._all.enter_context(Namespaces(self.name(OUTSIDE), folder))
        connect(made, OUTSIDE, self._first)
        return made

    def change_image(self, base: str, name: str, commit: str) -> None:
        """Give every node that runs an image ``name`` that differs from ``base`` by its commit."""
        for running in self._running.values():
            changed_image.add(running, base, name, commit)

    def pods_bytes(self) -> int:
        """Memory that all pods want for themselves: their working sets, as kubelet counts them."""
        return sum(working_set(one.name) for one in self._running.values())

    def stop(self) -> None:
        """All nodes; no process, mount, address or cgroup is left."""
        for number in sorted(self._nodes, reverse=True):
            self._end(number)
        self._all.close()

    def _end(self, number: int) -> None:
        self._running.pop(number, None)
        self._nodes.pop(number).close()

    def _make(self, number: int) -> Namespaces:
        folder = self.folder / f"node-{number}"
        root = folder / "containerd" / "root"
        if not root.exists():
            root.parent.mkdir(parents=True)
            store.copy(self._images, root)
        stack = self._nodes[number] = ExitStack()
        made = self._running[number] = stack.enter_context(Namespaces(self.name(number), folder))
        return made


def built_images() -> list[Path]:
    """An archive of each image; those that buildah has already are not built again."""
    return [Path(line) for line in _run("images.sh")]


@contextmanager
def cluster(nodes: int = 1) -> Iterator[Cluster]:
    """Builds what is missing, and runs a cluster until the block ends."""
    binaries = Path(_run("build.sh")[-1])
    archives = built_images()
    images = CACHE / "store"
    with _lock(CACHE / "store.lock"):
        store.prepare(images, archives)
    runs = CACHE / "run"
    runs.mkdir(exist_ok=True)
    remove_left_over(runs)
    # Short: the paths of sockets below it have at most 107 bytes.
    folder = runs / f"tags-{secrets.token_hex(3)}"
    folder.mkdir()
    with _lock(folder / "lock"):
        made = Cluster(folder, binaries, images)
        try:
            made.start(nodes)
            yield made
        finally:
            made.stop()
            if not os.environ.get("TAGS_TEST_KEEP"):
                shutil.rmtree(folder)


def remove_left_over(runs: Path) -> None:
    """What clusters left behind that were killed: whose lock nobody holds."""
    for folder in runs.iterdir():
        try:
            with _lock(folder / "lock", fcntl.LOCK_NB):
                for number in range(1, OUTSIDE + 1):
                    script = clean_up_script(0, cgroup_roots(), f"{folder.name}-{number}")
                    subprocess.run(["sh", "-c", script], check=True)
                shutil.rmtree(folder)
        except BlockingIOError:
            continue


@contextmanager
def _lock(file: Path, flags: int = 0) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | flags)
        yield


def _run(script: str) -> list[str]:
    """Lines that the script prints; what it says goes to this process' standard error."""
    ran = subprocess.run([str(HERE / script)], stdout=subprocess.PIPE, text=True, check=True)
    return ran.stdout.splitlines()
