"""Nodes reach each other, and nothing else."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kuberay.cluster.config import node_address
from tests.kuberay.cluster.machine import cgroup_roots
from tests.kuberay.cluster.namespaces import Namespaces
from tests.kuberay.cluster.network import connect, connect_first, disconnect
from tests.waiting import wait_until

PORT = 8080

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not cgroup_roots(), reason="needs root, and cgroups"
)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Namespaces]]:
    folder: Path = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        made = {
            number: stack.enter_context(
                Namespaces(f"user-tags-net-{os.getpid()}-{number}", folder / str(number))
            )
            for number in (1, 2, 3)
        }
        connect_first(made[1])
        for number in (2, 3):
            connect(made[number], number, made[1])
        for node in made.values():
            node.start("server", ["python3", "-m", "http.server", str(PORT)])
        yield made


def reaches(node: Namespaces, address: str) -> bool:
    asked = subprocess.run(
        node.inside("bash", "-c", f"exec 3<>/dev/tcp/{address}/{PORT}"),
        capture_output=True,
        timeout=5,
        check=False,
    )
    return asked.returncode == 0


@pytest.mark.parametrize(("source", "target"), [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2)])
def test_every_node_reaches_every_other(
    nodes: dict[int, Namespaces], source: int, target: int
) -> None:
    address = node_address(target)

    wait_until("an answer", lambda: reaches(nodes[source], address), timeout_s=10)


def test_none_reaches_this_machine(nodes: dict[int, Namespaces]) -> None:
    routes = nodes[2].run("ip", "-brief", "link")

    assert {line.split()[0].partition("@")[0] for line in routes.splitlines()} <= {"lo", "node0"}


def test_of_a_node_that_is_cut_off_nobody_hears_anything(nodes: dict[int, Namespaces]) -> None:
    """No refusal, which would tell that it is gone."""
    address = node_address(3)
    disconnect(3, nodes[1])

    with pytest.raises(subprocess.TimeoutExpired):
        reaches(nodes[2], address)
    assert reaches(nodes[2], node_address(1))

    connect(nodes[3], 3, nodes[1])
    wait_until("an answer", lambda: reaches(nodes[2], address), timeout_s=10)
