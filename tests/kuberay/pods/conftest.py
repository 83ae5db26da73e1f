"""A cluster, the platform on it and a load, each made once for a file's tests."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kuberay.cluster.cluster import HERE, cluster
from tests.kuberay.cluster.machine import missing
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table
from tests.kuberay.pods.kube import Checkout, Kube
from tests.kuberay.pods.load import Load
from tests.results.recording import Recording

RECORD = "TAGS_TEST_RECORD"
"""Set: what came of it becomes a result file (docs/results)."""


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


def need_machine() -> None:
    """Skip where no cluster can be made, and say what is missing."""
    if lacks := missing():
        pytest.skip(f"no cluster can be made here: {'; '.join(lacks)}")


@pytest.fixture(scope="module")
def kube() -> Iterator[Kube]:
    """Of one node, unless somebody gives another."""
    if given := given_kube():
        yield given
        return
    need_machine()
    with cluster() as made:
        yield Kube(made.kubeconfig, (HERE / "stand_ins", made.binaries))


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """What came of it all: of each file a result, if all went well and it was asked for."""
    name = f"kubernetes-{request.path.stem.removeprefix('test_')}"
    recording = Recording(name) if os.environ.get(RECORD) else None
    made = Table()
    yield made
    if recording is not None and made.rows and not request.session.testsfailed:
        made.record(recording)


@pytest.fixture(scope="module")
def checkout(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Of overlay plain."""
    return Checkout(tmp_path_factory.mktemp("checkout") / "user-tags", kube, "plain")


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
def load(kube: Kube, installed: str) -> Iterator[Load]:
    """It goes on from test to test."""
    made = Load(kube, seed=23)
    yield made
    made.stop()
