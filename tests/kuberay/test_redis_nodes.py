"""Six Redis nodes on loopback, started as the pods start them, formed as the job forms them."""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from serve_app.core.settings import Settings
from setup.kubernetes import redis_hosts
from setup.redis_cluster import form
from tests.kuberay.manifests import CHECKOUT
from tests.marks import second_tier
from tests.waiting import wait_until

SOURCE = CHECKOUT / "kuberay" / "base" / "redis"
NODES = 6
PASSWORD = "of-the-test"

pytestmark = [
    second_tier,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server on PATH"),
]


@dataclass(frozen=True)
class RedisPod:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]


def make_certificate(folder: Path) -> None:
    """A CA and a certificate for localhost, which stands for the pods' names."""
    script = f"""
        NAMESPACE=test
        say() {{ :; }}
        source {CHECKOUT}/setup/kubernetes/secrets.sh
        make_ca {folder} redis-ca
        sign {folder} localhost
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


def start(folder: Path, tls: Path, port: int) -> RedisPod:
    """One node: the config map's files, with this machine's folders in place of the pod's."""
    for name in ("etc", "run", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in [*SOURCE.glob("*.sh"), *SOURCE.glob("*.conf")]:
        text = path.read_text()
        for place, here in {
            "/etc/redis-tls": tls,
            "/etc/redis": folder / "etc",
            "/run/redis": folder / "run",
            "dir /data": f"dir {folder / 'data'}",
            "/data/no": folder / "data" / "no",
            "tls-port 6379": f"tls-port {port}\nbind 127.0.0.1",
        }.items():
            text = text.replace(place, str(here))
        (folder / "etc" / path.name).write_text(text)
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
    # Of a pod, the name is a host in the service's domain; here there is no domain, and a port.
    for name, place, here in (
        ("start.sh", "$POD_NAME.$SERVICE", "$POD_NAME"),
        ("alive.sh", "127.0.0.1", f"127.0.0.1 -p {port}"),
        ("ready.sh", "127.0.0.1", f"127.0.0.1 -p {port}"),
        ("hand-over.sh", "127.0.0.1", f"127.0.0.1 -p {port}"),
        ("take-over.sh", "127.0.0.1", f"127.0.0.1 -p {port}"),
    ):
        script = folder / "etc" / name
        script.write_text(script.read_text().replace(place, here))
    command = ["sh", str(folder / "etc" / "start.sh")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    return RedisPod(folder, port, process)


def kill(node: RedisPod) -> None:
    """With the scripts that run beside the server."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(node.process.pid, signal.SIGKILL)
    node.process.wait(20)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisPod]]:
    folder = tmp_path_factory.mktemp("redis")
    tls = folder / "tls"
    tls.mkdir()
    make_certificate(tls)
    started = [start(folder / str(port), tls, port) for port in free_ports()]
    try:
        yield started
    finally:
        for node in started:
            kill(node)


def settings(nodes: list[RedisPod]) -> Settings:
    return Settings(
        redis_nodes=",".join(f"localhost:{node.port}" for node in nodes),
        redis_password=PASSWORD,
        redis_ca_file=str(nodes[0].folder.parent / "tls" / "ca.crt"),
    )


def client(node: RedisPod, **options: object) -> redis.Redis:
    ca = str(node.folder.parent / "tls" / "ca.crt")
    defaults = {"password": PASSWORD, "ssl": True, "ssl_ca_certs": ca, "decode_responses": True}
    defaults["retry"] = Retry(NoBackoff(), 0)
    return redis.Redis("localhost", node.port, **{**defaults, **options})  # type: ignore[arg-type]


def run(node: RedisPod, script: str) -> subprocess.CompletedProcess[str]:
    """One of the pod's scripts."""
    return subprocess.run(
        ["sh", str(node.folder / "etc" / script)],
        env={**os.environ, "REDIS_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )


def ready(node: RedisPod) -> bool:
    """What the pod's readiness probe says."""
    return run(node, "ready.sh").returncode == 0


def role(node: RedisPod) -> str:
    with client(node) as connection:
        return str(connection.info("replication")["role"])


def answers(node: RedisPod) -> bool:
    """What its startup and liveness probes ask."""
    try:
        with client(node) as connection:
            return bool(connection.ping())
    except redis.ConnectionError:
        return False


def test_a_node_that_nobody_introduced_is_not_ready(nodes: list[RedisPod]) -> None:
    """So a rolling update stops at a node that lost its disk."""
    for node in nodes:
        wait_until("the server", functools.partial(answers, node))
        assert not ready(node)


def test_the_job_forms_the_cluster_over_tls_and_a_second_run_changes_nothing(
    nodes: list[RedisPod],
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


def test_masters_and_replicas_in_step_are_ready(nodes: list[RedisPod]) -> None:
    for node in nodes:
        wait_until(f"the node on port {node.port} to be ready", functools.partial(ready, node))


def test_a_replica_without_its_master_is_alive_and_not_ready(nodes: list[RedisPod]) -> None:
    roles = {}
    for node in nodes:
        with client(node) as connection:
            roles[node] = connection.info("replication")
    replica = next(node for node, role in roles.items() if role["role"] == "slave")
    with client(replica) as connection:
        connection.config_set("masterauth", "wrong")
        (master,) = [n for n in nodes if n.port == roles[replica]["master_port"]]
        with client(master) as of_master:
            of_master.execute_command("CLIENT", "KILL", "TYPE", "replica")
        wait_until("the link to break", lambda: not ready(replica))
        assert run(replica, "alive.sh").returncode == 0
        assert ready(master)

        connection.config_set("masterauth", PASSWORD)
        wait_until("the replica to follow again", lambda: ready(replica))


def test_a_master_hands_over_before_it_is_stopped(nodes: list[RedisPod]) -> None:
    master = next(node for node in nodes if role(node) == "master")

    stopped = run(master, "hand-over.sh")

    assert stopped.returncode == 0
    assert "handing over to 127.0.0.1" in stopped.stdout
    assert role(master) == "slave"
    for node in nodes:
        wait_until("everybody to be in order", functools.partial(ready, node))


def test_a_replica_has_nothing_to_hand_over(nodes: list[RedisPod]) -> None:
    replica = next(node for node in nodes if role(node) == "slave")
    before = [role(node) for node in nodes]

    assert run(replica, "hand-over.sh").stdout == ""
    assert [role(node) for node in nodes] == before


def test_a_master_without_a_replica_just_goes(nodes: list[RedisPod]) -> None:
    master = next(node for node in nodes if role(node) == "master")
    with client(master) as connection:
        (replica,) = [
            node for node in nodes if node.port == connection.info("replication")["slave0"]["port"]
        ]
        with client(replica) as of_replica:
            of_replica.config_set("masterauth", "wrong")
            connection.execute_command("CLIENT", "KILL", "TYPE", "replica")
            wait_until("the link to break", lambda: not ready(replica))

            assert run(master, "hand-over.sh").returncode == 0
            assert role(master) == "master"

            of_replica.config_set("masterauth", PASSWORD)
    wait_until("the replica to follow again", functools.partial(ready, replica))


def test_masters_on_one_host_are_parted(
    nodes: list[RedisPod], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a host was lost: host c has replicas alone, and a has two masters."""
    masters = [node for node in nodes if role(node) == "master"]
    hosts = dict(zip((node.port for node in masters), "aab", strict=True))
    replicas = {}
    for node, host in zip(masters, "cbc", strict=True):
        with client(node) as connection:
            port = connection.info("replication")["slave0"]["port"]
        hosts[port] = host
        replicas[node.port] = port

    def host_of(address: str, wanted: Settings) -> str:
        # Redis before 7.2 does not tell it.
        return hosts[int(address.rpartition(":")[2])]

    monkeypatch.setattr(redis_hosts, "_host", host_of)
    assert redis_hosts.part(settings(nodes), 30) == []
    successor = replicas[masters[0].port]
    assert capsys.readouterr().out == f"localhost:{successor} takes over from its master\n"
    assert {node.port for node in nodes if role(node) == "master"} == {
        successor,
        masters[1].port,
        masters[2].port,
    }
    for node in nodes:
        wait_until("everybody to be in order", functools.partial(ready, node))

    assert redis_hosts.part(settings(nodes), 30) == []
    assert capsys.readouterr().out == ""


def fails_over(node: RedisPod) -> bool:
    """Whether it would, if its master were silent."""
    with client(node) as connection:
        setting = connection.config_get("cluster-replica-no-failover")
        return bool(setting["cluster-replica-no-failover"] == "no")


def test_who_has_had_its_masters_data_may_take_over(nodes: list[RedisPod]) -> None:
    for node in nodes:
        wait_until("the node to be let", functools.partial(fails_over, node))


def test_an_empty_node_does_not_take_over_from_a_silent_master(nodes: list[RedisPod]) -> None:
    """A disk is replaced, and the master dies before it is copied. Not all of it is in the log."""
    tls = nodes[0].folder.parent / "tls"
    at, master = next((at, node) for at, node in enumerate(nodes) if role(node) == "master")
    with client(master) as connection:
        port = connection.info("replication")["slave0"]["port"]
        slots = connection.execute_command("CLUSTER SLOTS")
        first = next(first for first, _, owner, *_ in slots if owner[1] == master.port)
        key = next(key for key in map(str, range(10**6)) if key_slot(key.encode()) == first)
        connection.set(key, "older than the log")
    lost, empty = next((at, node) for at, node in enumerate(nodes) if node.port == port)
    with client(empty) as connection:
        old_id = connection.execute_command("CLUSTER MYID")
    kill(empty)
    shutil.rmtree(empty.folder / "data")
    nodes[lost] = empty = start(empty.folder, tls, port)
    wait_until("the empty node", functools.partial(answers, empty))
    for node in nodes:
        if node is not empty:
            with client(node) as connection:
                connection.execute_command("CLUSTER", "FORGET", old_id)
    with client(empty) as connection:
        # The copy does not come through.
        connection.config_set("masterauth", "wrong")
        form(settings(nodes), replicas=1, timeout_s=60)
        wait_until("a replica", lambda: role(empty) == "slave")
        assert not ready(empty)
        assert not fails_over(empty)

        kill(master)
        for node in nodes:
            if node not in (master, empty):
                wait_until("the master to be missed", functools.partial(misses, node, master))
        # It would ask for votes within a second and a half.
        time.sleep(5)
        assert role(empty) == "slave"

        nodes[at] = master = start(master.folder, tls, master.port)
        wait_until("the master", functools.partial(ready, master))
        connection.config_set("masterauth", PASSWORD)
    wait_until("the copy", functools.partial(ready, empty))
    wait_until("the node to be let", functools.partial(fails_over, empty))
    with client(master) as connection:
        assert connection.get(key) == "older than the log"


def misses(node: RedisPod, other: RedisPod) -> bool:
    with client(node) as connection:
        lines = str(connection.execute_command("CLUSTER", "NODES")).splitlines()
    return any(f":{other.port}@" in line and "fail" in line.split()[2].split(",") for line in lines)


def test_replicas_are_swapped_and_take_over_only_with_their_new_masters_data(
    nodes: list[RedisPod], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two on their masters' hosts; one does not get its copy at first."""
    masters = [node for node in nodes if role(node) == "master"]
    hosts = dict(zip((node.port for node in masters), "abc", strict=True))
    swapped = []
    for node, host in zip(masters, "aba", strict=True):
        with client(node) as connection:
            port = connection.info("replication")["slave0"]["port"]
        hosts[port] = host
        swapped += [one for one in nodes if one.port == port]
    first, second, _ = swapped
    monkeypatch.setattr(redis_hosts, "_host", lambda of, _: hosts[int(of.rpartition(":")[2])])
    with client(first) as connection:
        connection.config_set("masterauth", "wrong")
        assert redis_hosts.part(settings(nodes), 30) == []
        wait_until("the other's copy", functools.partial(fails_over, second))
        assert not ready(first)
        assert not fails_over(first)
        assert list((first.folder / "data").glob("no*yet"))

        connection.config_set("masterauth", PASSWORD)
    wait_until("the copy", functools.partial(fails_over, first))
    assert ready(first)
    assert not list((first.folder / "data").glob("no*yet"))


def test_settings_are_those_of_the_local_cluster(nodes: list[RedisPod]) -> None:
    with client(nodes[0]) as connection:
        for name, value in {
            "zset-max-listpack-entries": "256",
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "cluster-require-full-coverage": "no",
            "maxmemory": str(100 * 1024 * 1024),
        }.items():
            assert connection.config_get(name)[name] == value


def test_nobody_gets_in_without_password_or_tls(nodes: list[RedisPod]) -> None:
    with client(nodes[0], password=None) as connection, pytest.raises(redis.AuthenticationError):
        connection.ping()
    plain = client(nodes[0], ssl=False, ssl_ca_certs=None, socket_timeout=2)
    with plain as connection, pytest.raises(redis.ConnectionError):
        connection.ping()


def test_the_password_is_readable_by_its_owner_alone(nodes: list[RedisPod]) -> None:
    assert (nodes[0].folder / "run" / "own.conf").stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in " ".join(
        Path(f"/proc/{nodes[0].process.pid}/cmdline").read_text().split("\0")
    )
