"""The host of Ray's control store dies, which has a Redis with Sentinel on every host.

Component gcs-redis-sentinel beside what test_nodes.py shows of a single gcs-redis: there nothing is
replaced until the host is back.
"""

import os
import time
from typing import Final

import pytest

from tests.kuberay.cluster.cluster import Cluster
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.actors_status import on_two_hosts
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table, all_ready, disturbed, row_of
from tests.kuberay.pods.hosts import not_ready
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


def test_what_dies_is_replaced_while_the_host_of_gcs_redis_is_away(
    nodes: Cluster, kube: Kube, load: Load, table: Table, client: Client
) -> None:
    wait_for_parted_masters(kube)
    wait_for("actors on two hosts", lambda: on_two_hosts(kube), timeout_s=240, every_s=5)
    # Kafka, MySQL and Ray's head are on the first host.
    while host_of(kube, was := master(kube)) == nodes.name(1):
        sentinel(kube, PODS[0], "FAILOVER", "gcs-redis")
        wait_for("another master", lambda: master(kube) != was, timeout_s=60)
    wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
    wait_until_quiet(load, kube, client, seconds=20, timeout_s=240)
    away = host_of(kube, was)
    number = next(one for one in range(1, NODES + 1) if nodes.name(one) == away)
    asked = next(pod for pod in PODS if host_of(kube, pod) == nodes.name(1))

    before, began_s, began = load.samples[-1], load.now_s, time.monotonic()
    nodes.stop_node(number)

    def moved() -> bool:
        try:
            return master(kube, asked) != was
        except KubectlError:
            return False

    wait_for("another master", moved, timeout_s=120)
    table.timed("another Redis is the master after", time.monotonic() - began)
    wait_for("the node to be missed", lambda: not_ready(kube, away), timeout_s=120)
    # Serve makes them anew on the hosts that are left, for which Ray must be in control.
    wait_for("actors on two hosts again", lambda: on_two_hosts(kube), timeout_s=400, every_s=5)
    table.timed("lost actors are replaced after", time.monotonic() - began)
    wait_until_quiet(load, kube, client, seconds=20, timeout_s=240)
    settled = load.samples[-1]
    time.sleep(max(0.0, AWAY_S - (load.now_s - began_s)))
    late = load.samples[-1]
    row = row_of(
        f"node of gcs-redis' master away for {AWAY_S:.0f} s, with Sentinel",
        load,
        before,
        late,
        normal_s=settled.at_s - 20 - began_s,
        ready_s=AWAY_S,
    )
    print(row, flush=True)
    table.rows.append(row)
    assert late.wrong == before.wrong
    dropped, late_ones = late.dropped - settled.dropped, late.timed_out - settled.timed_out
    assert dropped - late_ones <= 10
    assert late_ones <= (late.sent - settled.sent) / 100

    with disturbed("the node back, with Sentinel", load, kube, table, refused_s=20, patience_s=600):
        nodes.start_node(number)


def test_ray_loses_nothing_when_all_three_start_anew(kube: Kube, load: Load, table: Table) -> None:
    """Each begins as what it was: an empty master would restart every worker."""
    was = master(kube)
    with disturbed("all gcs-redis pods deleted", load, kube, table, refused_s=5, patience_s=400):
        kube.kubectl("delete", "pod", *PODS, "--wait=false")
    assert master(kube) == was


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(kube: Kube, load: Load) -> None:
    wait_for("all pods", lambda: all_ready(kube), timeout_s=300)
    settle(kube, load)
    verify(kube)
