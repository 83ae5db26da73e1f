"""Hosts that die under the platform: three nodes, of which one is cut off and comes back.

For a cluster of our own alone: nobody else's nodes are ours to kill.
"""

import os
import time
from typing import Final

import pytest

from tests.kuberay.cluster.cluster import Cluster
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.actors_status import on_two_hosts
from tests.kuberay.pods.away import stays_away
from tests.kuberay.pods.balancer import Balancer
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table, all_ready, disturbed
from tests.kuberay.pods.hosts import identities, not_ready, workers
from tests.kuberay.pods.kube import Kube, wait_for
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.quiet import wait_for_parted_masters

NODES: Final = 3
AWAY_S: Final = float(os.environ.get("TAGS_TEST_AWAY_S", "900"))
"""How long gcs-redis' host is away: workers that gave up after KubeRay's 600 s would be gone."""
LED_TO_S: Final = 10.0
"""How long new connections may lead to a host that is dead."""

pytestmark = pytest.mark.skipif(
    not os.environ.get("TAGS_TEST_NODES"), reason="takes half an hour: make test-nodes"
)


def test_a_node_dies_and_comes_back(
    nodes: Cluster, kube: Kube, load: Load, table: Table, balancer: Balancer
) -> None:
    """With a worker and two Redis nodes. No new connection leads there long before it is missed."""
    began_s = time.monotonic()

    def back() -> bool:
        wait_for("the node to be missed", lambda: not_ready(kube, nodes.name(3)), timeout_s=120)
        missed_s, refused = time.monotonic() - began_s, balancer.refused_since(began_s)
        print(f"missed after {missed_s:.1f} s; new connections refused at", refused, flush=True)
        # Otherwise this would show nothing: Kubernetes itself takes it out then.
        assert missed_s > 2 * LED_TO_S
        assert max(refused, default=0) < LED_TO_S
        table.timed("new connections lead to a dead host for", max(refused, default=0))
        nodes.start_node(3)
        return True

    with disturbed(
        "node killed; back once it was missed",
        load,
        kube,
        table,
        healed=back,
        refused_s=60,
        timed_out_s=60,
        patience_s=400,
    ):
        nodes.stop_node(3)


def test_the_api_goes_on_without_the_node_of_gcs_redis(
    nodes: Cluster, kube: Kube, load: Load, table: Table, client: Client
) -> None:
    """Longer than the 600 s after which KubeRay's workers would end themselves.

    Once what the test before took away is made up for: a partition whose only actor is on this host
    would stand still, as Ray starts no other one without its control store.
    """
    wait_for_parted_masters(kube)
    wait_for("actors on two hosts", lambda: on_two_hosts(kube), timeout_s=240, every_s=5)
    elsewhere = [pod for pod in workers(kube) if pod["spec"]["nodeName"] != nodes.name(2)]
    assert len(elsewhere) == 2
    before, began_s = load.samples[-1], load.now_s
    nodes.stop_node(2)
    wait_for("the node to be missed", lambda: not_ready(kube, nodes.name(2)), timeout_s=120)
    name = f"gcs-redis' node away for {AWAY_S:.0f} s"
    stays_away(
        name, AWAY_S, load, kube, client, table, before=before, began_s=began_s, timeout_s=120
    )
    # None of them ended itself.
    assert identities(elsewhere) <= identities(workers(kube))

    with disturbed("gcs-redis' node back", load, kube, table, refused_s=20, patience_s=600):
        nodes.start_node(2)


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(
    nodes: Cluster, kube: Kube, load: Load, table: Table
) -> None:
    wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
    table.pods_bytes = nodes.pods_bytes()
    settle(kube, load)
    verify(kube)
