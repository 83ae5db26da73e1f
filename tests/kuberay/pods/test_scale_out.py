"""An upgrade and growth by the steps of docs/kubernetes/upgrades.md, on three nodes under load.

One actor of each partition, not two as in prod: twelve and three workers, on two cores, leave half
of the tags without an answer in time, and so tell nothing of growth.
"""

import os
from typing import Final

import pytest
import yaml

from kuberay.render import DOUBLED, deployments, ray_service_patch
from tests.kuberay.manifests import CHECKOUT
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.actors_status import counting, partitions
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.conftest import THREE_NODES
from tests.kuberay.pods.disturbances import Table, disturbed
from tests.kuberay.pods.hosts import ready_workers
from tests.kuberay.pods.kube import CHANGED_SETTING, SETTINGS, Checkout, Kube, wait_for
from tests.kuberay.pods.load import Load

NODES: Final = 3
FOLDER: Final = f"kuberay/overlays/{THREE_NODES}"
TOPICS: Final = "kuberay/overlays/plain/kafka/topics.yaml"

pytestmark = pytest.mark.skipif(
    not os.environ.get("TAGS_TEST_NODES"), reason="takes minutes: make test-nodes"
)


def render(checkout: Checkout, *, actors: int, workers: int) -> None:
    """Change setup/serve_config.yaml as the page says, and ``make render``; both in the copy."""
    text = (CHECKOUT / "setup/serve_config.yaml").read_text()
    last = "      - name: case3-2\n        ray_actor_options: *actor\n"
    more = "".join(last.replace("case3-2", f"case3-{n}") for n in range(3, actors))
    for old, new in (
        ("partitions: 3", f"partitions: {actors}"),
        (last, last + more),
        ("num_replicas: 3", f"num_replicas: {workers}"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    patch = yaml.safe_load(ray_service_patch(text, spread=True))
    config = yaml.safe_load(patch["spec"]["serveConfigV2"])
    for deployment in deployments(config):
        if DOUBLED.fullmatch(deployment["name"]):
            del deployment["num_replicas"], deployment["max_replicas_per_node"]
    patch["spec"]["serveConfigV2"] = yaml.safe_dump(config)
    (checkout.folder / FOLDER / "serve-config.yaml").write_text(yaml.safe_dump(patch))


@pytest.fixture(scope="module")
def checkout(checkout: Checkout) -> Checkout:
    render(checkout, actors=3, workers=3)
    return checkout


def test_an_upgrade_of_three_workers(
    kube: Kube, load: Load, table: Table, checkout: Checkout
) -> None:
    """With the pauses of prod before a worker and its replica end."""
    before = kube.active_cluster()
    with disturbed(
        "upgrade of three workers, changed setting",
        load,
        kube,
        table,
        healed=lambda: not kube.has_cluster(before),
        refused_s=0.2,
        timed_out_s=60,
        patience_s=600,
    ):
        checkout.add(SETTINGS, CHANGED_SETTING)
        checkout.up()
        assert kube.active_cluster() != before


def test_to_six_partitions(
    kube: Kube, load: Load, table: Table, checkout: Checkout, client: Client
) -> None:
    """First the actors, which wait for their partitions; then the topic."""
    before = kube.active_cluster()
    with disturbed(
        "to 6 partitions",
        load,
        kube,
        table,
        healed=lambda: counting(client, 6),
        refused_s=5,
        timed_out_s=60,
        patience_s=400,
    ):
        render(checkout, actors=6, workers=3)
        checkout.up()
        wait_for("six actors", lambda: len(partitions(client)) == 6, timeout_s=240)
        three = '{name: TAGS_TOPIC_PARTITIONS, value: "3"}'
        checkout.edit(TOPICS, three, three.replace("3", "6"))
        checkout.up()

    assert kube.active_cluster() == before


def test_to_a_fourth_worker(kube: Kube, load: Load, table: Table, checkout: Checkout) -> None:
    """One host has two then. No pod that was there is replaced."""
    before = {pod["metadata"]["uid"] for pod in ready_workers(kube)}
    with disturbed(
        "a fourth worker",
        load,
        kube,
        table,
        healed=lambda: len(ready_workers(kube)) == 4,
        refused_s=5,
        timed_out_s=60,
        patience_s=400,
    ):
        render(checkout, actors=6, workers=4)
        for name in ("replicas", "minReplicas", "maxReplicas"):
            three = f"/spec/rayClusterConfig/workerGroupSpecs/0/{name}, value: 3}}"
            checkout.edit(
                f"{FOLDER}/kustomization.yaml", three, three.replace("value: 3", "value: 4")
            )
        checkout.up()

    assert before < {pod["metadata"]["uid"] for pod in ready_workers(kube)}


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(
    kube: Kube, load: Load, client: Client
) -> None:
    assert counting(client, 6)
    settle(kube, load)
    verify(kube)
