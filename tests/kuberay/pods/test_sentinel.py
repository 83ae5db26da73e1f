"""The host of Ray's control store dies, which has a Redis with Sentinel on every host.

Component gcs-redis-sentinel beside what test_nodes.py shows of a single gcs-redis: there nothing is
replaced until the host is back.
"""

import os
import time
from subprocess import TimeoutExpired
from typing import Final

import pytest

from tests.kuberay.cluster.cluster import Cluster
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.actors_status import hosts_by_actor, on_two_hosts
from tests.kuberay.pods.away import stays_away
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table, all_ready, disturbed
from tests.kuberay.pods.hosts import identities, not_ready, workers
from tests.kuberay.pods.kube import Kube, KubectlError, wait_for
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.quiet import wait_for_parted_masters, wait_until_quiet

NODES: Final = 3
OVERLAY: Final = "three-nodes-sentinel"
AWAY_S: Final = float(os.environ.get("TAGS_TEST_AWAY_S", "900"))
PODS: Final = tuple(f"gcs-redis-{number}" for number in range(3))
_ASK: Final = 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -p 26379 SENTINEL "$@"'

pytestmark = pytest.mark.skipif(
    not os.environ.get("TAGS_TEST_NODES"), reason="takes half an hour: make test-nodes"
)


def sentinel(kube: Kube, pod: str, *command: str) -> str:
    run = ("exec", pod, "-c", "sentinel", "--", "sh", "-c", _ASK, "sentinel")
    return kube.kubectl(*run, *command, timeout_s=20)


def master(kube: Kube, asked: str = PODS[0]) -> str:
    """The pod, as the Sentinel of ``asked`` knows."""
    return sentinel(kube, asked, "GET-MASTER-ADDR-BY-NAME", "gcs-redis").partition(".")[0]


def host_of(kube: Kube, pod: str) -> str:
    return str(kube.get("pod", pod)["spec"]["nodeName"])


def replication(kube: Kube, pod: str) -> str:
    ask = "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli INFO REPLICATION"
    return kube.kubectl("exec", pod, "-c", "redis", "--", "sh", "-c", ask, timeout_s=20)


def settled(kube: Kube) -> str | None:
    """The master, if all agree on it and have its data."""
    try:
        masters = {master(kube, pod) for pod in PODS}
        if len(masters) > 1:
            return None
        (found,) = masters
        others = [pod for pod in PODS if pod != found]
        roles = "role:master" in replication(kube, found)
        linked = all("master_link_status:up" in replication(kube, pod) for pod in others)
    except (KubectlError, TimeoutExpired):
        return None
    return found if roles and linked else None


def head_restarts(kube: Kube) -> int:
    (status,) = kube.get("pod", kube.head())["status"]["containerStatuses"]
    return int(status["restartCount"])


def hand_over(kube: Kube, was: str) -> None:
    """To another master. The head ends with its connection, which the old one keeps for a while."""
    restarts = head_restarts(kube)

    def begun() -> bool:
        return sentinel(kube, PODS[0], "FAILOVER", "gcs-redis").startswith("OK")

    wait_for("the fail-over to begin", begun, timeout_s=60, every_s=5)
    wait_for("a head anew", lambda: head_restarts(kube) > restarts, timeout_s=240)
    wait_for("another master", lambda: settled(kube) not in (None, was), timeout_s=120)


def master_on_another_host(kube: Kube, host: str) -> str:
    """Kafka, MySQL and Ray's head are on ``host``."""
    wait_for("a master and its replicas", lambda: settled(kube), timeout_s=120)
    while host_of(kube, was := master(kube)) == host:
        hand_over(kube, was)
    return was


def test_what_dies_is_replaced_while_the_host_of_gcs_redis_is_away(
    nodes: Cluster, kube: Kube, load: Load, table: Table, client: Client
) -> None:
    wait_for_parted_masters(kube)
    wait_for("actors on two hosts", lambda: on_two_hosts(kube), timeout_s=240, every_s=5)
    was = master_on_another_host(kube, nodes.name(1))
    wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
    wait_until_quiet(load, kube, client, seconds=20, timeout_s=240)
    away = host_of(kube, was)
    number = next(one for one in range(1, NODES + 1) if nodes.name(one) == away)
    asked = next(pod for pod in PODS if host_of(kube, pod) == nodes.name(1))
    lost = {pod["status"]["podIP"] for pod in workers(kube) if pod["spec"]["nodeName"] == away}
    assert any(lost & set(hosts) for hosts in hosts_by_actor(kube).values())

    before, began_s, began = load.samples[-1], load.now_s, time.monotonic()
    nodes.stop_node(number)

    def moved() -> bool:
        try:
            return master(kube, asked) != was
        except (KubectlError, TimeoutExpired):
            return False

    wait_for("another master", moved, timeout_s=120)
    table.timed("another Redis is the master after", time.monotonic() - began)
    wait_for("the node to be missed", lambda: not_ready(kube, away), timeout_s=120)
    # Serve makes them anew on the hosts that are left, for which Ray must be in control.
    wait_for(
        "actors on two other hosts",
        lambda: on_two_hosts(kube, without=lost),
        timeout_s=600,
        every_s=5,
    )
    table.timed("lost actors are replaced after", time.monotonic() - began)
    name = f"node of gcs-redis' master away for {AWAY_S:.0f} s, with Sentinel"
    stays_away(
        name, AWAY_S, load, kube, client, table, before=before, began_s=began_s, timeout_s=240
    )

    with disturbed("the node back, with Sentinel", load, kube, table, refused_s=20, patience_s=600):
        nodes.start_node(number)


def test_ray_loses_nothing_when_all_three_start_anew(kube: Kube, load: Load, table: Table) -> None:
    """Workers that an empty store does not know end themselves."""
    wait_for("a master and its replicas", lambda: settled(kube), timeout_s=240)
    before = identities(workers(kube))
    with disturbed("all gcs-redis pods deleted", load, kube, table, refused_s=5, patience_s=600):
        kube.kubectl("delete", "pod", *PODS, "--wait=false")
    wait_for("a master and its replicas", lambda: settled(kube), timeout_s=240)
    # Each would end itself within 40 s of the head's return.
    time.sleep(60)
    assert identities(workers(kube)) == before


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(kube: Kube, load: Load) -> None:
    wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
    settle(kube, load)
    verify(kube)
