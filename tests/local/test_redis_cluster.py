"""The script that forms the Redis Cluster, on bare servers: a second run does nothing."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.core.settings import Settings
from setup.local.ports import load_ports
from setup.local.tools import find_tool
from setup.redis_cluster import SLOTS, Node, form
from tests.marks import second_tier


class Servers:
    """Six bare Redis servers."""

    def __init__(self, folder: Path) -> None:
        ports = load_ports(folder, free=True)
        self.folder = folder
        self.ports = [ports["redis"] + index for index in range(6)]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int) -> None:
        data = self.folder / str(port)
        data.mkdir(exist_ok=True)
        options = {
            "port": port,
            "cluster-port": port + 6,
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-node-timeout": 1000,
            "dir": data,
            "logfile": data / "log",
            "save": "",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.processes[port] = subprocess.Popen(
            (find_tool("redis-server", "redis-server"), *arguments)
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    @property
    def settings(self) -> Settings:
        return Settings(redis_nodes=",".join(f"127.0.0.1:{port}" for port in self.ports))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    try:
        for port in servers.ports:
            servers.start(port)
        yield servers
    finally:
        servers.stop()


def roles(settings: Settings) -> dict[str, tuple[str, int]]:
    """Role and number of slots by node."""
    answer = {}
    for address in settings.redis_nodes.split(","):
        node = Node(address, settings)
        view = node.view()
        node.close()
        slots = view.masters.get(view.node_id)
        answer[address] = ("replica", 0) if slots is None else ("master", len(slots))
    return answer


@second_tier
def test_forms_a_cluster_with_replicas_once(servers: Servers) -> None:
    quiet: list[str] = []
    assert form(servers.settings, 1, 30, quiet.append)
    formed = roles(servers.settings)
    assert [role for role, _ in formed.values()] == ["master"] * 3 + ["replica"] * 3
    assert sum(slots for _, slots in formed.values()) == SLOTS

    said: list[str] = []
    assert not form(servers.settings, 1, 30, said.append)
    assert (said, roles(servers.settings)) == ([], formed)

    # All nodes restart: still in order, still nothing to do.
    servers.stop()
    for port in servers.ports:
        servers.start(port)
    assert not form(servers.settings, 1, 30, said.append)
    assert said == []


def test_finishes_what_was_cut_short(servers: Servers) -> None:
    first = Node(f"127.0.0.1:{servers.ports[0]}", servers.settings)
    second = Node(f"127.0.0.1:{servers.ports[1]}", servers.settings)
    first.cluster("MEET", *second.meeting_point())
    first.cluster("ADDSLOTSRANGE", 0, 99)
    first.close()
    second.close()
    assert form(servers.settings, 0, 30, lambda line: None)
    assert sum(slots for _, slots in roles(servers.settings).values()) == SLOTS
