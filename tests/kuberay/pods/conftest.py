"""A cluster, the platform on it and a load, each made once for a file's tests.

A file that sets ``NODES`` gets a cluster of so many nodes, and overlay three-nodes or that of its
``OVERLAY``.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kuberay.cluster.cluster import HERE, Cluster, cluster
from tests.kuberay.cluster.left import left
from tests.kuberay.cluster.machine import need_machine
from tests.kuberay.manifests import CHECKOUT
from tests.kuberay.pods.balancer import Balancer
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table
from tests.kuberay.pods.kube import Checkout, Kube
from tests.kuberay.pods.load import Load
from tests.results.recording import Recording

RECORD = "TAGS_TEST_RECORD"
"""Set: what came of it becomes a result file (docs/results)."""
THREE_NODES = "three-nodes"
"""Begins the names of overlays that only the test's copy of the product has; one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They take minutes, and more than one machine has: make test-kubernetes."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        # Builds, at the first time, count towards the first test.
        item.add_marker(pytest.mark.timeout(3600))
        if not os.environ.get("TAGS_TEST_KUBERNETES"):
            item.add_marker(pytest.mark.skip("makes a cluster: make test-kubernetes"))


def given_kube() -> Kube | None:
    """The cluster that KUBECONFIG leads to, if it is set: the images must be there."""
    path = os.environ.get("KUBECONFIG")
    return Kube(Path(path)) if path else None


def wanted_nodes(request: pytest.FixtureRequest) -> int:
    """Of the file's cluster."""
    return int(getattr(request.module, "NODES", 1))


@pytest.fixture(scope="module")
def own_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster | None]:
    """None where somebody gives one; a file with ``NODES`` is skipped then, as it kills nodes."""
    number = wanted_nodes(request)
    if given_kube():
        if number > 1:
            pytest.skip("KUBECONFIG leads to a cluster that somebody else made")
        yield None
        return
    need_machine()
    with cluster(number) as made:
        yield made
    assert not left(made.folder.name)


@pytest.fixture(scope="module")
def nodes(own_cluster: Cluster | None) -> Cluster:
    """A cluster whose nodes may be stopped."""
    assert own_cluster is not None, "the file does not set NODES"
    return own_cluster


@pytest.fixture(scope="module")
def kube(request: pytest.FixtureRequest, own_cluster: Cluster | None) -> Kube:
    """Of one node, unless somebody gives another or the file wants more."""
    if own_cluster is None:
        given = given_kube()
        assert given is not None
        return given
    made = Kube(own_cluster.kubeconfig, (HERE / "stand_ins", own_cluster.binaries))
    if wanted_nodes(request) > 1:
        made.kubectl("label", "node", own_cluster.name(2), "user-tags.io/test=second")
    return made


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """What came of it all: of each file a result, if all went well and it was asked for."""
    name = f"kubernetes-{request.path.stem.removeprefix('test_').replace('_', '-')}"
    recording = Recording(name) if os.environ.get(RECORD) else None
    made = Table()
    yield made
    if recording is not None and made.rows and not request.session.testsfailed:
        made.record(recording)


@pytest.fixture(scope="module")
def checkout(
    request: pytest.FixtureRequest, kube: Kube, tmp_path_factory: pytest.TempPathFactory
) -> Checkout:
    """Of overlay plain; of several nodes, of that as prod spreads it over hosts."""
    several = wanted_nodes(request) > 1
    overlay = getattr(request.module, "OVERLAY", THREE_NODES) if several else "plain"
    made = Checkout(tmp_path_factory.mktemp("checkout") / "user-tags", kube, overlay)
    if several:
        overlays = made.folder / "kuberay" / "overlays"
        for overlay_of_tests in Path(__file__).parent.glob("three_nodes*"):
            name = overlay_of_tests.name.replace("_", "-")
            shutil.copytree(overlay_of_tests, overlays / name)
        for of_prod in ("serve-config.yaml", "service.yaml", "several-workers.env"):
            shutil.copy(CHECKOUT / "kuberay/overlays/prod" / of_prod, overlays / THREE_NODES)
    return made


@pytest.fixture(scope="module")
def installed(kube: Kube, checkout: Checkout, table: Table) -> str:
    """The platform, on a cluster that never had it; what up.sh printed."""
    began_s = time.monotonic()
    printed = checkout.up()
    table.timed("first install", time.monotonic() - began_s)
    return printed


@pytest.fixture(scope="module")
def client(kube: Kube, installed: str) -> Iterator[Client]:
    made = Client(kube)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def balancer(
    request: pytest.FixtureRequest, nodes: Cluster, kube: Kube, installed: str
) -> Balancer:
    """Of a file with ``NODES``; knows hosts that the file may add, too."""
    return Balancer(nodes, kube, wanted_nodes(request) + 1)


@pytest.fixture(scope="module")
def load(request: pytest.FixtureRequest, kube: Kube, installed: str) -> Iterator[Load]:
    """It goes on from test to test; where hosts die it comes by the balancer, as clients do."""
    several = wanted_nodes(request) > 1
    address = request.getfixturevalue("balancer").address if several else None
    made = Load(kube, seed=23, balancer=address)
    yield made
    made.stop()
