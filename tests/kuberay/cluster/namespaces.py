"""One node's mount, network and process namespaces, and how they end.

All that runs in a node runs in its process namespace, whose first process is a child of the test's.
When the test ends, however it ends, the kernel kills that first process, and with it every process,
mount and address of the node. Only its cgroups, empty by then, have to be removed: a process of its
own waits for that.
"""

import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from tests.kuberay.cluster.machine import cgroup_roots
from tests.waiting import wait_until

# Bash takes in the orphans of the namespace, whose parent it becomes. Sockets, locks and logs that
# stand at fixed places are the node's own. Kubelet wants mounts that are shared.
_FIRST_PROCESS: Final = (
    "bash",
    "-ec",
    "mount --make-rshared /; mkdir -p /var/lib/cni; "
    "for folder in /run /var/log /var/lib/cni; do mount -t tmpfs node $folder; done; "
    "touch /run/made; trap : TERM; while :; do sleep 1000 & wait $! || :; done",
)
# The kernel kills `unshare` when the test's process is gone, and `unshare` its child.
_UNSHARE: Final = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--"),
)
_WEIGHT: Final = 20
_NICE: Final = -20
"""Of a host's own daemons. All pods of three nodes weigh less."""
_START_S: Final = 5.0
_CLEAN_UP_S: Final = 10.0


class Namespaces:
    """A context manager; what is started in it ends with it."""

    def __init__(self, name: str, folder: Path) -> None:
        """``name`` is the node's, and of its cgroup; logs go to ``folder``.

        A name should not be used again at once: what cleans up after a killed test goes by it.
        """
        self.name = name
        self.folder = folder
        self.pid = 0
        """Of the first process, as this machine sees it."""
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Raises subprocess.SubprocessError if the kernel refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for root in cgroup_roots():
            _make_cgroup(root, self.name)
        self._outer = subprocess.Popen((*_UNSHARE, *_FIRST_PROCESS), stdin=subprocess.DEVNULL)
        self.pid = self._first_process()
        made = Path(f"/proc/{self.pid}/root/run/made")
        wait_until(f"the mounts of {self.name}", made.exists, _START_S)
        self._cleaner = subprocess.Popen(
            ["sh", "-c", clean_up_script(self._outer.pid, cgroup_roots(), self.name)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.kill()
        self._outer.wait()
        self._cleaner.wait(_CLEAN_UP_S)
        for process in self._started:
            process.wait(_CLEAN_UP_S)
        left = [root for root in cgroup_roots() if (root / self.name).exists()]
        assert not left, f"cgroup {self.name} is left in {left}"

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                if pids := children.read_text().split():
                    return int(pids[0])
            except FileNotFoundError:
                break
            time.sleep(0.02)
        raise subprocess.SubprocessError(f"no namespaces for {self.name}: {self._outer.poll()}")

    def inside(self, *command: str) -> list[str]:
        """The command as it is run in the node."""
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "--", *command]

    def run(self, *command: str, text: str = "") -> str:
        """Standard output; AssertionError with standard error if it fails."""
        ran = subprocess.run(
            self.inside(*command), input=text, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{shlex.join(command)}: {ran.stderr}"
        return ran.stdout

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """In the background; its output goes to ``folder/NAME.log``.

        It comes before all pods, as on a host: an API server without a processor times out.
        """
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.inside(*command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )
        # To the kernel a session is one group (autogroup), beside all pods of a node.
        autogroup = Path(f"/proc/{process.pid}/autogroup")
        if autogroup.exists():
            autogroup.write_text(str(_NICE))
        self._started.append(process)
        return process


def _make_cgroup(root: Path, name: str) -> None:
    folder = root / name
    folder.mkdir(exist_ok=True)
    # With cgroup v1 a new cpuset has no processor and no memory, and takes nobody.
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (folder / setting).exists() and root.name == "cpuset":
            (folder / setting).write_text((root / setting).read_text())
    # To the kernel all pods of a node are one group, beside each session of this machine
    # (autogroup): by default they get no more of the processors than any other command that runs.
    for setting, default in (("cpu.shares", 1024), ("cpu.weight", 100)):
        if (folder / setting).exists():
            (folder / setting).write_text(str(_WEIGHT * default))


def clean_up_script(pid: int, roots: Sequence[Path], name: str) -> str:
    """Shell: waits until ``pid`` is gone (0: at once), then removes the node's empty cgroups.

    Deepest first.
    """
    folders = shlex.join(str(root / name) for root in roots)
    return (
        (f"tail --pid={pid} -s 0.2 -f /dev/null; " if pid else "")
        + "for _ in 1 2 3 4 5 6 7 8 9 10; do left=; "
        f"for folder in {folders}; do [ -d $folder ] || continue; left=1; "
        "find $folder -depth -type d -exec rmdir {} + 2>/dev/null; done; "
        '[ -n "$left" ] || exit 0; sleep 0.2; done'
    )
