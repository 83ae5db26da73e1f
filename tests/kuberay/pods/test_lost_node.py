"""The cluster that the other tests stand on: a node that was cut off comes back with its pods."""

import os

import pytest

from tests.kuberay.cluster.cluster import cluster
from tests.kuberay.cluster.machine import need_machine
from tests.kuberay.pods.conftest import given_kube
from tests.kuberay.pods.hosts import not_ready
from tests.kuberay.pods.kube import Kube, wait_for

pytestmark = pytest.mark.skipif(
    not os.environ.get("TAGS_TEST_NODES"), reason="takes minutes: make test-nodes"
)


@pytest.fixture(autouse=True)
def _a_machine() -> None:
    if given_kube():
        pytest.skip("KUBECONFIG leads to a cluster that somebody else made")
    need_machine()


def test_a_node_that_was_cut_off_comes_back_with_its_pods() -> None:
    with cluster(3) as made:
        kube = Kube(made.kubeconfig, (made.binaries,))
        kube.apply([DAEMONS, SERVICE])
        kube.kubectl("-n", "default", "rollout", "status", "daemonset/where", "--timeout=120s")
        # A pod may be ready a moment before the first node's kube-proxy leads to it.
        wait_for("each node's pod", lambda: len(answering(kube)) == 3, timeout_s=60)

        made.stop_node(3)
        wait_for("the node to be missed", lambda: not_ready(kube, made.name(3)), timeout_s=120)
        made.start_node(3)

        wait_for("all three", lambda: len(answering(kube)) == 3, timeout_s=120)


LABELS = {"app": "where"}
DAEMONS = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "where", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "containers": [
                    {
                        "name": "server",
                        "image": "user-tags:0.1.0",
                        "command": ["python", "-m", "http.server", "8080", "--directory", "/etc"],
                        "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}},
                    }
                ]
            },
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "where", "namespace": "default"},
    "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
}
ASK = """
import urllib.request
def name():
    with urllib.request.urlopen("http://where.default.svc/hostname", timeout=5) as answer:
        return answer.read().decode().strip()
print(*{name() for _ in range(40)})
"""


def answering(kube: Kube) -> set[str]:
    """Names of the pods behind the service, as the one on the first node sees them."""
    pods = kube.items("pods", "-n", "default", "-l", "app=where")
    asking = next(pod for pod in pods if pod["spec"]["nodeName"].endswith("-1"))
    name = asking["metadata"]["name"]
    printed = kube.kubectl("-n", "default", "exec", name, "--", "python", "-c", ASK)
    return set(printed.split())
