"""The platform on one node, from the first install to the last trace of it, in this order.

Pods are deleted, evicted and upgraded while the Web Panel goes on asking; in the end everything
that was acknowledged is in the log, and nothing was ever answered wrong.
"""

import json
import os
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest

from tests.kuberay.cluster.cluster import Cluster
from tests.kuberay.pods.accounts import settle, verify
from tests.kuberay.pods.client import KNOCK, Client
from tests.kuberay.pods.disturbances import Table, all_ready, disturbed
from tests.kuberay.pods.hosts import WORKER, workers
from tests.kuberay.pods.kube import (
    CHANGED_SETTING,
    NAMESPACE,
    SERVICE,
    SETTINGS,
    Checkout,
    Kube,
    KubectlError,
    wait_for,
)
from tests.kuberay.pods.load import Load

SERVE_CONFIG: Final = "kuberay/base/app/serve-config.yaml"
IMAGE: Final = "docker.io/library/user-tags:0.1.0"
CHANGED_IMAGE: Final = "docker.io/library/user-tags:0.1.0-changed"
CHANGED_COMMIT: Final = "of-the-changed-image"
GIVEN_IMAGE: Final = "TAGS_TEST_CHANGED_IMAGE"
"""For a cluster that KUBECONFIG leads to: a second image that it has, built with CHANGED_COMMIT."""


upgrade = partial(disturbed, refused_s=1, dropped_share=0.001)


def a_tag(cookie: str, ms: int) -> str:
    """A view, at a time of the clock."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms / 1000))
    product = {"product_id": 1, "brand_id": "B", "category_id": "C", "price": 100}
    return json.dumps(
        {
            "time": f"{at}.{ms % 1000:03}Z",
            "cookie": cookie,
            "country": "PL",
            "device": "PC",
            "action": "VIEW",
            "origin": "O",
            "product_info": product,
        }
    )


ALL_TIME: Final = "time_range=2020-01-01T00:00:00_2040-01-01T00:00:00"


def views(client: Client, cookie: str) -> int:
    """How many the profile has."""
    status, text = client.ask("POST", f"/user_profiles/{cookie}?{ALL_TIME}")
    assert status == 200, text
    return len(json.loads(text)["views"])


def state(kube: Kube) -> dict[str, Any]:
    """Every object of ours by what changes when somebody changes it; every pod by its identity."""
    kinds = "statefulsets,jobs,services,configmaps,secrets,networkpolicies,poddisruptionbudgets"
    kinds += ",rayservices,rayclusters,persistentvolumeclaims,pods"
    return {
        f"{one['kind']}/{one['metadata']['name']}": (
            one["metadata"]["uid"],
            one["metadata"].get("generation"),
            one.get("data"),
        )
        for one in kube.items(kinds)
    }


def test_first_install(kube: Kube, installed: str) -> None:
    assert "== up" in installed
    assert all_ready(kube)


def test_a_tag_comes_back_in_profile_and_aggregate(client: Client) -> None:
    now_ms = int(time.time() * 1000)
    status, text = client.ask("POST", "/user_tags", a_tag("smoke-1", now_ms))
    assert status == 204, text

    assert views(client, "smoke-1") == 1
    minute = now_ms // 60_000 * 60
    first, last = (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) for at in (minute, minute + 60)
    )
    question = f"/aggregates?time_range={first}_{last}&action=VIEW&origin=O&aggregates=COUNT"

    def counted() -> bool:
        answer = json.loads(client.ask("POST", question)[1])
        return bool(answer["rows"] == [[first, "VIEW", "O", "1"]])

    wait_for("the tag to be counted", counted, timeout_s=60)


def test_nobody_is_served_without_the_token(client: Client) -> None:
    for token in ("", "wrong"):
        assert client.ask("POST", "/user_tags", "{}", token=token)[0] == 401


def test_a_second_run_changes_nothing(
    kube: Kube, installed: str, checkout: Checkout, table: Table
) -> None:
    before = state(kube)

    began_s = time.monotonic()
    checkout.up()
    table.timed("second up.sh, nothing to do", time.monotonic() - began_s)

    assert state(kube) == before


def doors(kube: Kube) -> list[tuple[str, int]]:
    """Of stores, of Ray's head; of a worker its metrics and its replica's own server."""
    head = kube.get("pod", kube.head())["status"]["podIP"]
    here = f"{NAMESPACE}.svc"
    return [
        (f"redis-0.redis.{here}", 6379),
        (f"redis-0.redis.{here}", 16379),
        (f"gcs-redis.{here}", 6379),
        (f"kafka-kafka-bootstrap.{here}", 9093),
        (f"mysql-haproxy.{here}", 3306),
        *((head, port) for port in (6379, 8265, 10001, 8080)),
        *worker_doors(kube),
    ]


def worker_doors(kube: Kube) -> list[tuple[str, int]]:
    worker = workers(kube)[0]["status"]["podIP"]
    return [(worker, port) for port in (8080, 30000)]


def test_doors_are_closed_to_other_namespaces(kube: Kube, client: Client) -> None:
    behind = worker_doors(kube)
    # Ray's head may open them.
    there = kube.in_head("python", "-c", KNOCK, text=json.dumps(behind))
    assert [(host, port) for host, port in json.loads(there)] == behind
    assert client.opened(doors(kube)) == []
    api = (f"{SERVICE}.{NAMESPACE}.svc", 8000)
    assert client.opened([api]) == [api]


def test_doors_are_closed_to_strangers_in_the_namespace(kube: Kube, installed: str) -> None:
    stranger = Client(kube, NAMESPACE)
    try:
        assert stranger.opened(doors(kube)) == []
    finally:
        stranger.remove()


def test_head_deleted(kube: Kube, load: Load, table: Table) -> None:
    before = kube.head()
    with disturbed(
        "head deleted", load, kube, table, healed=lambda: kube.other_head(before), refused_s=0.2
    ):
        kube.kubectl("delete", "pod", before, "--wait=false")


@pytest.mark.parametrize(
    ("pod", "refused_s"), [("redis-1", 30), ("kafka-0", 60), ("mysql-0", 5), ("gcs-redis-0", 5)]
)
def test_a_pod_of_a_store_deleted(
    kube: Kube, load: Load, table: Table, pod: str, refused_s: float
) -> None:
    before = kube.get("pod", pod)["metadata"]["uid"]

    def another() -> bool:
        return kube.ready(pod) and kube.get("pod", pod)["metadata"]["uid"] != before

    with disturbed(f"{pod} deleted", load, kube, table, healed=another, refused_s=refused_s):
        kube.kubectl("delete", "pod", pod, "--wait=false")


def test_all_redis_pods_deleted_at_once(kube: Kube, load: Load, table: Table) -> None:
    before = {pod["metadata"]["uid"] for pod in redis_pods(kube)}

    def others() -> bool:
        now = redis_pods(kube)
        return len(now) == len(before) and not before & {pod["metadata"]["uid"] for pod in now}

    with disturbed("all Redis pods deleted", load, kube, table, healed=others, refused_s=15):
        kube.kubectl("delete", "pods", "-l", "app.kubernetes.io/name=redis", "--wait=false")


def redis_pods(kube: Kube) -> list[dict[str, Any]]:
    return kube.items("pods", "-l", "app.kubernetes.io/name=redis")


def test_a_changed_serve_config(kube: Kube, load: Load, table: Table, checkout: Checkout) -> None:
    """Handed to the running cluster: no pod is replaced."""
    before = kube.active_cluster()
    with upgrade("changed Serve config", load, kube, table, healed=lambda: live_value(kube) == 12):
        checkout.edit(SERVE_CONFIG, "user_config: {}", "user_config: {ingest_linger_ms: 12}")
        checkout.up()

    assert kube.active_cluster() == before


def live_value(kube: Kube) -> float | None:
    """Of ``ingest_linger_ms``, as Serve has it for ``case12``."""
    printed = kube.in_head("serve", "config")
    found = re.search(r"ingest_linger_ms: (\d+)", printed)
    return float(found[1]) if found else None


def test_an_upgrade_with_a_changed_setting(
    kube: Kube, load: Load, table: Table, checkout: Checkout
) -> None:
    """A second RayCluster, and the first one goes; up.sh says "up" when the second one serves."""
    before = kube.active_cluster()

    def only_the_new() -> bool:
        return not kube.has_cluster(before)

    with upgrade("upgrade, changed setting", load, kube, table, healed=only_the_new):
        checkout.add(SETTINGS, CHANGED_SETTING)
        checkout.up()
        assert kube.active_cluster() != before


@pytest.fixture
def changed_image(own_cluster: Cluster | None) -> str:
    """A second image that every node has: the first one's layers, and CHANGED_COMMIT."""
    if own_cluster is None:
        given = os.environ.get(GIVEN_IMAGE)
        if not given:
            pytest.skip(f"{GIVEN_IMAGE} names no second image that the cluster has")
        return given
    own_cluster.change_image(IMAGE, CHANGED_IMAGE, CHANGED_COMMIT)
    return CHANGED_IMAGE


def test_an_upgrade_with_a_changed_image(
    kube: Kube,
    load: Load,
    table: Table,
    checkout: Checkout,
    client: Client,
    changed_image: str,
) -> None:
    """By docs/kubernetes/upgrades.md: up.sh with the new tag.

    Then all answers come from the new image.
    """
    before = kube.active_cluster()
    assert commit(client) != CHANGED_COMMIT

    def only_the_new() -> bool:
        return not kube.has_cluster(before)

    with upgrade("upgrade, changed image", load, kube, table, healed=only_the_new):
        checkout.up(image=changed_image)
        assert kube.active_cluster() != before

    # More often than there are replicas: a new connection each, to any of them.
    assert {commit(client) for _ in range(10)} == {CHANGED_COMMIT}
    images = {
        container["image"]
        for pod in kube.items("pods", "-l", f"ray.io/cluster={kube.active_cluster()}")
        for container in pod["spec"]["containers"]
    }
    assert images == {changed_image}


def commit(client: Client) -> str | None:
    """Of the code that answers, as its image was told when it was built."""
    status, text = client.ask("GET", "/version")
    assert status == 200, text
    found: str | None = json.loads(text)["commit"]
    return found


def test_a_drain_evicts_the_worker(kube: Kube, load: Load, table: Table) -> None:
    (worker,) = workers(kube)
    node = worker["spec"]["nodeName"]

    def another() -> bool:
        now = workers(kube)
        return [pod["metadata"]["uid"] for pod in now] != [worker["metadata"]["uid"]]

    with disturbed("the only worker drained", load, kube, table, healed=another, refused_s=45):
        kube.kubectl(
            *("drain", node, f"--pod-selector={WORKER}", "--delete-emptydir-data"),
            *("--ignore-daemonsets", "--timeout=120s"),
            timeout_s=150,
        )
        kube.kubectl("uncordon", node)


@pytest.mark.parametrize(
    "tool",
    [("rebuild", "aggregates", "--compare"), ("verify",), ("erase", "smoke-1")],
    ids=" ".join,
)
def test_a_tool_as_a_ray_job(kube: Kube, load: Load, table: Table, tool: tuple[str, ...]) -> None:
    with disturbed(f"{tool[0]}, as a Ray job", load, kube, table, refused_s=1):
        command = ("python", "-m", f"actors.tools.{tool[0]}", *tool[1:])
        printed = kube.in_head("ray", "job", "submit", "--", *command, timeout_s=300)

    assert "succeeded" in printed


def test_what_was_erased_is_gone(client: Client) -> None:
    assert views(client, "smoke-1") == 0


def test_nothing_acknowledged_is_lost_and_no_answer_was_wrong(
    own_cluster: Cluster | None, kube: Kube, load: Load, table: Table
) -> None:
    if own_cluster is not None:
        table.pods_bytes = own_cluster.pods_bytes()
    settle(kube, load)


def test_verify_finds_no_difference(kube: Kube, installed: str) -> None:
    verify(kube)


def test_down_and_up_keeps_the_data(
    kube: Kube, client: Client, checkout: Checkout, table: Table
) -> None:
    assert client.ask("POST", "/user_tags", a_tag("smoke-2", int(time.time() * 1000)))[0] == 204
    began_s = time.monotonic()
    checkout.down()
    table.timed("down.sh", time.monotonic() - began_s)
    assert kube.items("pods", "-l", "ray.io/cluster") == []

    began_s = time.monotonic()
    checkout.up()
    table.timed("up.sh after it", time.monotonic() - began_s)

    wait_for("the API", until_served(client), timeout_s=60)
    assert views(client, "smoke-2") == 1
    verify(kube)


def until_served(client: Client) -> Callable[[], bool]:
    return lambda: client.ask("POST", f"/user_profiles/none?{ALL_TIME}")[0] == 200


def test_down_with_the_data_leaves_what_the_page_says(
    kube: Kube, installed: str, checkout: Checkout, table: Table
) -> None:
    """Both classes, and the volumes, which nobody claims any more."""
    began_s = time.monotonic()
    checkout.down("--data", answer=NAMESPACE)
    table.timed("down.sh --data", time.monotonic() - began_s)

    with pytest.raises(KubectlError, match="NotFound"):
        kube.get("namespace", NAMESPACE)
    kinds = "namespaces,clusterroles,clusterrolebindings,storageclasses,priorityclasses"
    left = {
        (one["kind"], one["metadata"]["name"])
        for one in kube.items(kinds, "-l", f"app.kubernetes.io/part-of={NAMESPACE}")
    }
    assert left == {("StorageClass", "user-tags-local"), ("PriorityClass", "user-tags-store")}

    def phases() -> set[str]:
        return {
            str(one["status"]["phase"])
            for one in kube.items("persistentvolumes")
            if one["spec"].get("claimRef", {}).get("namespace") == NAMESPACE
        }

    wait_for("volumes to be released", lambda: phases() == {"Released"}, timeout_s=30)
