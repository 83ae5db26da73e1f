"""The three pods of component gcs-redis-sentinel as processes: who is the master, whatever ends.

In a namespace of their own, where the pods' names lead to addresses of loopback.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.kuberay.manifests import CHECKOUT
from tests.marks import second_tier, third_tier
from tests.waiting import wait_until

COMPONENT: Final = CHECKOUT / "kuberay" / "components" / "gcs-redis-sentinel"
BASE: Final = CHECKOUT / "kuberay" / "base" / "gcs-redis"
DOMAIN: Final = "gcs-redis-nodes.user-tags.svc.cluster.local"
PODS: Final = 3
PASSWORD: Final = "of-the-test"
FAILOVER_S: Final = 60.0

pytestmark = [
    second_tier,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH"),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces, as root only"),
]


class Pods:
    """Each with a Redis and a Sentinel, on an address of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        hosts = ["127.0.0.1 localhost"]
        for pod in range(PODS):
            hosts.append(f"{address(pod)} gcs-redis-{pod}.{DOMAIN}")
        (folder / "hosts").write_text("\n".join(hosts) + "\n")
        first = f"ip link set lo up && mount --bind {folder}/hosts /etc/hosts && echo made"
        self._first = subprocess.Popen(
            (
                *("setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--pid"),
                *("--fork", "--mount-proc", "--kill-child=KILL", "--"),
                *("sh", "-ec", f"{first}; while :; do sleep 1000; done"),
            ),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == "made\n"
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        self._inside = children.read_text().split()[0]
        self._running: dict[int, list[subprocess.Popen[bytes]]] = {}

    def start(self, *pods: int) -> None:
        for pod in pods:
            self._make_volumes(pod)
            self._running[pod] = [self._container(pod, what) for what in ("redis", "sentinel")]

    def kill(self, *pods: int) -> None:
        for pod in pods:
            # The shell has become the server, under nsenter.
            for container in self._running.pop(pod):
                container.kill()
                container.wait()

    def close(self) -> None:
        self.kill(*self._running)
        self._first.kill()
        # Waits, and closes the pipe.
        self._first.communicate()

    def lose_volume(self, pod: int) -> None:
        shutil.rmtree(self.folder / str(pod) / "data")

    def redis(self, pod: int, *command: str, password: str = PASSWORD) -> str:
        return self._ask(pod, 6379, command, password)

    def sentinel(self, pod: int, *command: str, password: str = PASSWORD) -> str:
        return self._ask(pod, 26379, ("SENTINEL", *command), password)

    def write(self, state: str) -> None:
        """To the master and all its replicas."""
        master = self.settled()
        assert self.redis(master, "SET", "state", state) == "OK\n"
        assert self.redis(master, "WAIT", str(len(self._running) - 1), "5000") == "2\n"

    def masters(self) -> set[str]:
        """Names, as every Sentinel says, that runs."""
        return {
            self.sentinel(pod, "GET-MASTER-ADDR-BY-NAME", "gcs-redis").partition("\n")[0]
            for pod in self._running
        }

    def master(self) -> int | None:
        """The pod on which all Sentinels agree, and which agrees itself; None if there is none."""
        found = self.masters()
        pods = [pod for pod in self._running if found == {f"gcs-redis-{pod}.{DOMAIN}"}]
        if not pods or "role:master" not in self.redis(pods[0], "INFO", "REPLICATION"):
            return None
        return pods[0]

    def settled(self) -> int:
        """Wait until there is a master, and every other pod its replica; return it."""

        def done() -> list[int]:
            master = self.master()
            others = [pod for pod in self._running if pod != master]
            linked = all(
                "master_link_status:up" in self.redis(pod, "INFO", "REPLICATION") for pod in others
            )
            known = all(self._knows_all(pod) for pod in self._running)
            return [master] if master is not None and linked and known else []

        (master,) = wait_until("a master and its replicas", done, timeout_s=FAILOVER_S)
        return int(master)

    def _knows_all(self, pod: int) -> bool:
        """Whether the pod's Sentinel could choose another master, and would be heard.

        It asks for replicas every ten seconds.
        """
        lines = self.sentinel(pod, "MASTER", "gcs-redis").splitlines()
        about = dict(zip(lines[::2], lines[1::2], strict=False))
        quorum = self.sentinel(pod, "CKQUORUM", "gcs-redis").startswith("OK")
        return quorum and int(about.get("num-slaves", 0)) >= PODS - 1

    def _make_volumes(self, pod: int) -> None:
        folder = self.folder / str(pod)
        places = {f"/{name}": folder / name for name in ("etc/redis", "run/redis", "data")}
        for volume in places.values():
            volume.mkdir(parents=True, exist_ok=True)
        for path in (BASE / "redis.conf", COMPONENT / "sentinel.conf", COMPONENT / "start.sh"):
            # So that the test is quick.
            text = path.read_text().replace("gcs-redis 5000", "gcs-redis 1000")
            for place, here in places.items():
                text = text.replace(place, str(here))
            if path.suffix == ".conf":
                text += f"\nbind {address(pod)}\n"
            (folder / "etc" / "redis" / path.name).write_text(text)

    def _container(self, pod: int, what: str) -> subprocess.Popen[bytes]:
        """``what``: redis or sentinel."""
        folder = self.folder / str(pod)
        environment = {
            **os.environ,
            "POD_NAME": f"gcs-redis-{pod}",
            "REDIS_PASSWORD": PASSWORD,
        }
        command = self._within("sh", str(folder / "etc/redis/start.sh"), what)
        with (folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def _ask(self, pod: int, port: int, command: tuple[str, ...], password: str) -> str:
        asked = subprocess.run(
            self._within("redis-cli", "-h", address(pod), "-p", str(port), *command),
            env={**os.environ, "REDISCLI_AUTH": password},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return asked.stdout + asked.stderr

    def _within(self, *command: str) -> tuple[str, ...]:
        # No --pid: what nsenter then forked would outlive it.
        return ("nsenter", "--target", self._inside, "--net", "--mount", "--", *command)


def address(pod: int) -> str:
    return f"127.0.0.{11 + pod}"


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    made = Pods(tmp_path_factory.mktemp("pods"))
    try:
        made.start(*range(PODS))
        yield made
    finally:
        made.close()


def test_the_first_pod_is_the_first_master_and_all_ask_for_the_password(pods: Pods) -> None:
    assert pods.settled() == 0

    assert pods.redis(1, "ECHO", "asked") == "asked\n"
    assert "NOAUTH" in pods.redis(1, "ECHO", "asked", password="")
    assert "NOAUTH" in pods.sentinel(1, "MYID", password="")


@third_tier
def test_a_first_pod_that_lost_its_volume_while_all_were_gone_empties_nobody(pods: Pods) -> None:
    """It knows nothing of another master, and no Sentinel is there that could tell."""
    assert pods.settled() == 0
    pods.write("through all")

    pods.kill(*range(PODS))
    pods.lose_volume(0)
    pods.start(*range(PODS))

    assert pods.settled() != 0
    for pod in range(PODS):
        assert pods.redis(pod, "GET", "state") == "through all\n"


def test_another_pod_has_the_data_when_the_master_dies_and_comes_back(pods: Pods) -> None:
    dead = pods.settled()
    pods.write("written")

    pods.kill(dead)
    master = pods.settled()

    assert master != dead
    assert pods.redis(master, "GET", "state") == "written\n"
    pods.start(dead)
    assert pods.settled() == master
    assert pods.redis(dead, "GET", "state") == "written\n"


@third_tier
def test_the_last_master_is_the_master_after_all_were_gone(pods: Pods) -> None:
    if (was := pods.settled()) == 0:
        # Of a first install, too, the first pod would be the master.
        pods.kill(was)
        pods.settled()
        pods.start(was)
    master = pods.settled()
    pods.write("newest")

    pods.kill(*range(PODS))
    pods.start(*range(PODS))

    assert pods.settled() == master != 0
    assert pods.redis(master, "GET", "state") == "newest\n"


@third_tier
def test_a_master_that_lost_its_volume_empties_nobody(pods: Pods) -> None:
    """However soon it is back: before anyone has missed it."""
    dead = pods.settled()
    pods.write("kept")

    pods.kill(dead)
    pods.lose_volume(dead)
    pods.start(dead)

    assert pods.settled() != dead
    for pod in range(PODS):
        assert pods.redis(pod, "GET", "state") == "kept\n"


@third_tier
def test_a_replica_that_lost_its_volume_gets_the_data(pods: Pods) -> None:
    master = pods.settled()
    pods.write("kept by others")
    replica = (master + 1) % PODS

    pods.kill(replica)
    pods.lose_volume(replica)
    pods.start(replica)

    assert pods.settled() == master
    assert pods.redis(replica, "GET", "state") == "kept by others\n"
