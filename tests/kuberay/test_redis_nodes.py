"""Six Redis nodes on loopback, started as the pods start them, formed as the job forms them."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from serve_app.core.settings import Settings
from setup.redis_cluster import form
from tests.kuberay.manifests import CHECKOUT

SOURCE = CHECKOUT / "kuberay" / "base" / "redis"
NODES = 6
PASSWORD = "of-the-test"

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH")


@dataclass(frozen=True)
class Node:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]


def make_certificate(folder: Path) -> None:
    """A CA and a certificate for localhost, which stands for the pods' names."""
    script = f"""
        NAMESPACE=test
        say() {{ :; }}
        source {CHECKOUT}/setup/kubernetes/secrets.sh
        make_ca {folder}
        sign_node {folder} localhost
    """
    subprocess.run(["bash", "-euc", script], check=True, capture_output=True)


def free_ports() -> list[int]:
    """Ports whose bus ports, 10,000 above, are free as well."""
    ports: list[int] = []
    sockets: list[socket.socket] = []
    for port in range(21_000, 22_000):
        pair = [socket.socket(), socket.socket()]
        sockets += pair
        try:
            pair[0].bind(("127.0.0.1", port))
            pair[1].bind(("127.0.0.1", port + 10_000))
        except OSError:
            continue
        ports.append(port)
        if len(ports) == NODES:
            break
    for one in sockets:
        one.close()
    return ports


def start(folder: Path, tls: Path, port: int) -> Node:
    """One node: the config map's files, with this machine's folders in place of the pod's."""
    for name in ("etc", "run", "data"):
        (folder / name).mkdir(parents=True)
    for name in ("redis.conf", "common.conf", "start.sh", "follow-addresses.sh"):
        text = (SOURCE / name).read_text()
        for place, here in {
            "/etc/redis-tls": tls,
            "/etc/redis": folder / "etc",
            "/run/redis": folder / "run",
            "dir /data": f"dir {folder / 'data'}",
            "tls-port 6379": f"tls-port {port}\nbind 127.0.0.1",
        }.items():
            text = text.replace(place, str(here))
        (folder / "etc" / name).write_text(text)
    environment = {
        **os.environ,
        "POD_IP": "127.0.0.1",
        "POD_NAME": "localhost",
        "SERVICE": "",
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_MAXMEMORY": "100mb",
        # Redis before 7.2 knows no names of hosts.
        "HOST_NAME": "",
        # Nothing moves here.
        "ROUNDS": "0",
    }
    # Of a pod, the name is a host in the service's domain; here there is no domain.
    script = folder / "etc" / "start.sh"
    script.write_text(script.read_text().replace("$POD_NAME.$SERVICE", "$POD_NAME"))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["sh", str(script)], env=environment, stdout=log, stderr=log)
    return Node(folder, port, process)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    folder = tmp_path_factory.mktemp("redis")
    tls = folder / "tls"
    tls.mkdir()
    make_certificate(tls)
    started = [start(folder / str(port), tls, port) for port in free_ports()]
    try:
        yield started
    finally:
        for node in started:
            node.process.terminate()
        for node in started:
            node.process.wait(20)


def settings(nodes: list[Node]) -> Settings:
    return Settings(
        redis_nodes=",".join(f"localhost:{node.port}" for node in nodes),
        redis_password=PASSWORD,
        redis_ca_file=str(nodes[0].folder.parent / "tls" / "ca.crt"),
    )


def client(node: Node, **options: object) -> redis.Redis:
    ca = str(node.folder.parent / "tls" / "ca.crt")
    defaults = {"password": PASSWORD, "ssl": True, "ssl_ca_certs": ca, "decode_responses": True}
    defaults["retry"] = Retry(NoBackoff(), 0)
    return redis.Redis("localhost", node.port, **{**defaults, **options})  # type: ignore[arg-type]


def test_the_job_forms_the_cluster_over_tls_and_a_second_run_changes_nothing(
    nodes: list[Node],
) -> None:
    assert form(settings(nodes), replicas=1, timeout_s=60)
    assert not form(settings(nodes), replicas=1, timeout_s=60)

    with client(nodes[0]) as connection:
        slots = connection.execute_command("CLUSTER SLOTS")
        assert sum(last - first + 1 for first, last, *_ in slots) == 16_384
        # Clients are told names, which the certificate has.
        assert {node[0] for entry in slots for node in entry[2:]} == {"localhost"}
        # A replica is listed once it has its master's data.
        give_up_s = time.monotonic() + 30
        while any(len(entry) != 4 for entry in slots):
            assert time.monotonic() < give_up_s, f"not a master and a replica each: {slots}"
            time.sleep(0.2)
            slots = connection.execute_command("CLUSTER SLOTS")


def test_settings_are_those_of_the_local_cluster(nodes: list[Node]) -> None:
    with client(nodes[0]) as connection:
        for name, value in {
            "zset-max-listpack-entries": "256",
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "cluster-require-full-coverage": "no",
            "maxmemory": str(100 * 1024 * 1024),
        }.items():
            assert connection.config_get(name)[name] == value


def test_nobody_gets_in_without_password_or_tls(nodes: list[Node]) -> None:
    with client(nodes[0], password=None) as connection, pytest.raises(redis.AuthenticationError):
        connection.ping()
    plain = client(nodes[0], ssl=False, ssl_ca_certs=None, socket_timeout=2)
    with plain as connection, pytest.raises(redis.ConnectionError):
        connection.ping()


def test_the_password_is_readable_by_its_owner_alone(nodes: list[Node]) -> None:
    assert (nodes[0].folder / "run" / "own.conf").stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in " ".join(
        Path(f"/proc/{nodes[0].process.pid}/cmdline").read_text().split("\0")
    )
