"""A host that is drained, one that is away for long, and one that is lost for good, under load.

By the steps of docs/kubernetes/upgrades.md and docs/kubernetes/recovery.md. In that order; the
third node each time, which has a worker, a Redis master and a replica.
"""

import os
from collections import Counter
from functools import partial
from typing import Final

import pytest

from tests.kuberay.cluster.cluster import Cluster
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.disturbances import Table, all_ready, disturbed
from tests.kuberay.pods.hosts import (
    OUT_OF_SERVICE,
    WORKER,
    failed_redis_nodes,
    masters_parted,
    not_ready,
    part_workers,
    pods_on,
    ready_workers,
    redis,
    volumes_on,
    wait_for_workers,
)
from tests.kuberay.pods.kube import Checkout, Kube, KubectlError, wait_for
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.quiet import wait_for_parted_masters

NODES: Final = 3
LOST: Final = 3
NEW: Final = 4
REDIS_PODS: Final = tuple(f"redis-{number}" for number in range(6))

pytestmark = pytest.mark.skipif(
    not os.environ.get("TAGS_TEST_NODES"), reason="takes a quarter of an hour: make test-nodes"
)

host_lost = partial(disturbed, refused_s=60, timed_out_s=60, patience_s=600)


def test_a_host_is_drained_within_the_budgets(
    nodes: Cluster, kube: Kube, load: Load, table: Table
) -> None:
    """All of it goes but what every host has; meanwhile no other worker may be evicted."""
    wait_for_parted_masters(kube)
    node = nodes.name(LOST)
    with host_lost("a host drained", load, kube, table):
        drain(kube, node, "--timeout=240s")
        left = [pod["metadata"]["name"] for pod in pods_on(kube, node)]
        with pytest.raises(KubectlError, match="disruption budget"):
            drain(kube, nodes.name(2), f"--pod-selector={WORKER}", "--timeout=3s")
        for one in (node, nodes.name(2)):
            kube.kubectl("uncordon", one)
        wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
        part_workers(kube)
    assert left == []


def drain(kube: Kube, node: str, *options: str) -> None:
    every_time = ("--ignore-daemonsets", "--delete-emptydir-data")
    kube.kubectl("drain", node, *every_time, *options, timeout_s=270)


def test_a_worker_starts_elsewhere_once_its_host_is_tainted(
    nodes: Cluster, kube: Kube, load: Load, table: Table
) -> None:
    """As the page has it for a node that is certainly off, and will be for hours."""
    wait_for_parted_masters(kube)
    node = nodes.name(LOST)
    with host_lost("node off, tainted, back", load, kube, table):
        nodes.stop_node(LOST)
        wait_for("the node to be missed", lambda: not_ready(kube, node), timeout_s=120)
        kube.kubectl("taint", "nodes", node, OUT_OF_SERVICE)
        wait_for_workers(kube, elsewhere_than=node)
        nodes.start_node(LOST)
        kube.kubectl("taint", "nodes", node, f"{OUT_OF_SERVICE}-")
        wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
        part_workers(kube)


def test_a_node_lost_for_good_is_replaced(
    nodes: Cluster, kube: Kube, load: Load, table: Table, checkout: Checkout
) -> None:
    """The steps by their numbers; what Strimzi and Percona do there is in no test."""
    wait_for_parted_masters(kube)
    node = nodes.name(LOST)
    with host_lost("node lost for good, and replaced", load, kube, table):
        nodes.stop_node(LOST)
        nodes.lose_disk(LOST)
        wait_for("the node to be missed", lambda: not_ready(kube, node), timeout_s=120)
        # 1. What was on it.
        stores = [str(pod["metadata"]["name"]) for pod in pods_on(kube, node)]
        stores = [name for name in stores if name in REDIS_PODS]
        volumes = volumes_on(kube, node)
        left = next(name for name in REDIS_PODS if name not in stores)
        lost_ids = failed_redis_nodes(kube, left)
        print("lost:", stores, volumes, lost_ids, flush=True)
        assert sorted(volumes.values()) == sorted(f"data-{name}" for name in stores)
        assert len(stores) == len(lost_ids) == 2
        # 2. It is off.
        kube.kubectl("delete", "node", node)
        # 3. The worker.
        wait_for_workers(kube, elsewhere_than=node)
        # 4. A new host.
        nodes.start_node(NEW)
        part_workers(kube)
        # 5. Store by store.
        for pod in stores:
            give_up_claim(kube, f"data-{pod}", pod, on=nodes.name(NEW))
        # 6. Redis.
        replace_redis_nodes(kube, lost_ids)
        # 7. In order?
        checkout.up()
        # 8. What is left of the old volumes.
        for name in volumes:
            phase = kube.get("persistentvolume", name)["status"]["phase"]
            assert phase == "Released", (name, phase)
            kube.kubectl("delete", "pv", name)

    assert masters_parted(kube)
    hosts = Counter(kube.get("pod", pod)["spec"]["nodeName"] for pod in REDIS_PODS)
    assert hosts == {nodes.name(number): 2 for number in (1, 2, NEW)}


def give_up_claim(kube: Kube, claim: str, pod: str, *, on: str) -> None:
    """The pod comes up on the host ``on`` with an empty volume, though not Ready."""

    def host() -> str | None:
        """None without a pod; empty while it has no host."""
        try:
            return str(kube.get("pod", pod)["spec"].get("nodeName", ""))
        except KubectlError:
            return None

    wait_for(f"{pod} to be made again", lambda: host() == "", timeout_s=120)
    kube.kubectl("delete", "pvc", claim, "--wait=false")
    kube.kubectl("delete", "pod", pod)

    def runs() -> bool:
        return host() == on and bool(kube.get("pod", pod)["status"]["phase"] == "Running")

    try:
        wait_for(f"{pod} on {on}", runs, timeout_s=60)
    except AssertionError:
        # As the page says: it was made while its old claim was still going.
        kube.kubectl("delete", "pod", pod)
        wait_for(f"{pod} on {on}", runs, timeout_s=60)


def replace_redis_nodes(kube: Kube, lost_ids: set[str]) -> None:
    """Step 6: the cluster forgets the lost nodes, and takes in the new ones."""
    for lost in sorted(lost_ids):
        for pod in REDIS_PODS:
            redis(kube, pod, "CLUSTER", "FORGET", lost)
    worker = ready_workers(kube)[0]["metadata"]["name"]
    python = ("exec", worker, "-c", "ray-worker", "--", "python", "-m")
    for command in (
        ("setup.redis_cluster", "--replicas", "1", "--timeout", "300"),
        ("setup.kubernetes.redis_hosts", "--timeout", "120"),
    ):
        print(kube.kubectl(*python, *command, timeout_s=330), flush=True)


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(kube: Kube, load: Load) -> None:
    settle(kube, load)
    verify(kube)
