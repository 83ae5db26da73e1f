"""The host of Ray's head dies: served without a head, and another one once the host is tainted.

By the steps of docs/kubernetes/recovery.md. The third node, which has a worker, a Redis master and
a replica, too; gcs-redis is on the second one.
"""

import os
from typing import Final

import pytest

from tests.kuberay.cluster.cluster import Cluster
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.actors_status import on_two_hosts
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table, all_ready, disturbed
from tests.kuberay.pods.hosts import OUT_OF_SERVICE, identities, not_ready, part_workers, workers
from tests.kuberay.pods.kube import Kube, wait_for
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.quiet import last_drop_s, wait_for_parted_masters, wait_until_quiet

NODES: Final = 3
OVERLAY: Final = "three-nodes-head"
LOST: Final = 3
QUIET_S: Final = 20.0
ONE_SECOND: Final = 55
"""Of the load: tags and profile queries."""

pytestmark = pytest.mark.skipif(
    not os.environ.get("TAGS_TEST_NODES"), reason="takes ten minutes: make test-nodes"
)


def move_head(kube: Kube, nodes: Cluster, to: str) -> None:
    """To this host, if it is on another one."""
    before = kube.head()
    if kube.get("pod", before)["spec"]["nodeName"] == to:
        return
    others = [name for number in range(1, NODES + 1) if (name := nodes.name(number)) != to]
    kube.kubectl("cordon", *others)
    kube.kubectl("delete", "pod", before, "--wait=false")
    wait_for("another head", lambda: kube.other_head(before), timeout_s=240)
    kube.kubectl("uncordon", *others)
    assert kube.get("pod", kube.head())["spec"]["nodeName"] == to


def test_the_head_starts_elsewhere_once_its_host_is_tainted(
    nodes: Cluster, kube: Kube, load: Load, table: Table, client: Client
) -> None:
    node = nodes.name(LOST)
    move_head(kube, nodes, node)
    wait_for_parted_masters(kube)
    wait_for("actors on two hosts", lambda: on_two_hosts(kube), timeout_s=240, every_s=5)
    wait_until_quiet(load, kube, client, seconds=QUIET_S, timeout_s=240)
    before = kube.head()
    lost = {pod["status"]["podIP"] for pod in workers(kube) if pod["spec"]["nodeName"] == node}
    elsewhere = identities(pod for pod in workers(kube) if pod["spec"]["nodeName"] != node)
    assert (len(lost), len(elsewhere)) == (1, 2)

    with disturbed(
        "node of Ray's head off, tainted, back",
        load,
        kube,
        table,
        refused_s=60,
        timed_out_s=60,
        patience_s=600,
    ):
        nodes.stop_node(LOST)
        began_s = load.now_s
        wait_for("the node to be missed", lambda: not_ready(kube, node), timeout_s=120)
        # Ray controls nothing now.
        wait_until_quiet(load, kube, client, seconds=QUIET_S, timeout_s=120)
        table.timed("served as before without Ray's head after", last_drop_s(load.samples, began_s))
        without = load.samples[-1]
        kube.kubectl("taint", "nodes", node, OUT_OF_SERVICE)
        began_s = load.now_s
        wait_for("a head elsewhere", lambda: kube.other_head(before), timeout_s=300)
        table.timed("once its host is tainted another head is ready after", load.now_s - began_s)
        wait_for(
            "actors on two other hosts",
            lambda: on_two_hosts(kube, without=lost),
            timeout_s=300,
            every_s=5,
        )
        # None of them ended itself, nor did the new controller end what runs in them.
        assert elsewhere <= identities(workers(kube))
        assert load.samples[-1].refused - without.refused <= ONE_SECOND
        nodes.start_node(LOST)
        kube.kubectl("taint", "nodes", node, f"{OUT_OF_SERVICE}-")
        wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
        part_workers(kube)


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(kube: Kube, load: Load) -> None:
    settle(kube, load)
    verify(kube)
