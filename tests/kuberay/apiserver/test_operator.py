"""The prod overlay on a real API server, and what the KubeRay operator makes of the RayService.

The operator is v1.5.0: the newest whose Go module can be had. It knows nothing of what came later
(``authOptions``), and the API server keeps such fields for an operator that does: the CRDs are
those of 1.7.0. There is no kubelet and no controller for built-in kinds, so the test plays them: it
says of pods that they are ready, and of services that they have endpoints.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.kuberay.apiserver.dashboard import Dashboard, stand_in_dashboard
from tests.kuberay.apiserver.processes import (
    Cluster,
    api_server,
    kuberay_operator,
)
from tests.kuberay.cluster.addons import HERE, operator_sources
from tests.kuberay.cluster.machine import need_machine
from tests.kuberay.crd_schema import CRDS
from tests.kuberay.manifests import CHECKOUT, name_of, rendered
from tests.kuberay.rules.ray_service import RECONNECT_TIMEOUT
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("TAGS_TEST_KUBERNETES"),
        reason="builds an API server and an operator: make test-kubernetes",
    ),
    # Builds, at the first time, count towards the first test.
    pytest.mark.timeout(3600),
]

NAME: Final = "user-tags"
Json = Any


@pytest.fixture(scope="module")
def binaries() -> Path:
    """The folder of Kubernetes' commands and the operator, built when absent."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG leads to a cluster, which has an API server and an operator")
    need_machine()
    built = subprocess.run([str(HERE / "build.sh")], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, binaries: Path) -> Iterator[Cluster]:
    """An API server that knows the operators' kinds."""
    if not CRDS.is_dir():
        pytest.skip(f"no CRDs in {CRDS}")
    with api_server(tmp_path_factory.mktemp("cluster"), binaries) as up:
        for path in sorted(CRDS.glob("*.yaml")):
            up.kubectl("apply", "--server-side", "-f", str(path))
        up.kubectl("apply", "--server-side", "-f", str(ray_job_crd()))
        up.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
        yield up


def ray_job_crd() -> Path:
    """The operator watches RayJobs too, whose CRD is in its module."""
    return operator_sources() / "config" / "crd" / "bases" / "ray.io_rayjobs.yaml"


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Dashboard]:
    with stand_in_dashboard() as up:
        yield up


@pytest.fixture(scope="module")
def applied(cluster: Cluster) -> list[str]:
    """The overlay's resources, but for the Prometheus operator's kinds, whose CRDs are not here."""
    documents = [d for d in rendered("prod") if not d["apiVersion"].startswith("monitoring.")]
    cluster.apply(documents)
    return [name_of(document) for document in documents]


@pytest.fixture(scope="module")
def pods(
    cluster: Cluster, binaries: Path, dashboard: Dashboard, applied: list[str]
) -> Iterator[list[Json]]:
    """Pods that the operator made; it goes on running."""
    with kuberay_operator(cluster, binaries, dashboard.url):
        yield wait_until(
            "the head and three workers",
            lambda: (
                len(found := cluster.items("pods", "-l", "ray.io/is-ray-node=yes")) == 4 and found
            ),
        )


def test_the_overlay_is_applied_strictly(cluster: Cluster, applied: list[str]) -> None:
    assert "RayService/user-tags" in applied
    # Applied again, nothing changes: no field of ours is one that the server rewrites.
    before = cluster.get("rayservice", NAME)["metadata"]["generation"]
    cluster.apply([d for d in rendered("prod") if d["kind"] == "RayService"])
    assert cluster.get("rayservice", NAME)["metadata"]["generation"] == before


def test_fields_of_a_newer_operator_are_kept(cluster: Cluster, applied: list[str]) -> None:
    spec = cluster.get("rayservice", NAME)["spec"]["rayClusterConfig"]

    assert spec["authOptions"] == {"mode": "token"}


def test_an_unknown_field_is_refused(cluster: Cluster, applied: list[str]) -> None:
    (service,) = [d for d in rendered("prod") if d["kind"] == "RayService"]
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["replicaz"] = 1

    with pytest.raises(AssertionError, match="replicaz"):
        cluster.apply([service])


def test_the_operator_makes_head_and_workers(pods: list[Json]) -> None:
    types = sorted(pod["metadata"]["labels"]["ray.io/node-type"] for pod in pods)

    assert types == ["head", "worker", "worker", "worker"]


def test_pods_start_ray_as_the_manifests_say(pods: list[Json]) -> None:
    for pod in pods:
        container = pod["spec"]["containers"][0]
        command = container["args"][0]
        head = pod["metadata"]["labels"]["ray.io/node-type"] == "head"
        assert "ray start" in command
        assert f"--num-cpus={0 if head else 4} " in command
        assert [
            source["configMapRef"]["name"].rpartition("-")[0] for source in container["envFrom"]
        ] == ["ray-environment", "user-tags-settings"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_operator_adds_its_probes_and_leaves_ours(pods: list[Json]) -> None:
    for pod in pods:
        container = pod["spec"]["containers"][0]
        assert container["livenessProbe"]
        ready = container["readinessProbe"]
        if pod["metadata"]["labels"]["ray.io/node-type"] == "worker":
            # It takes traffic only with a healthy proxy.
            assert ready["httpGet"]["path"] == "/-/healthz"
            assert "exec" not in ready
        else:
            assert "wget" in str(ready["exec"])


def test_ray_keeps_its_state_outside_of_the_head(pods: list[Json], cluster: Cluster) -> None:
    (head,) = [pod for pod in pods if pod["metadata"]["labels"]["ray.io/node-type"] == "head"]
    variables = {v["name"]: v for v in head["spec"]["containers"][0]["env"]}
    (ray_cluster,) = cluster.items("rayclusters")

    assert variables["RAY_REDIS_ADDRESS"]["value"] == "gcs-redis:6379"
    assert "valueFrom" in variables["REDIS_PASSWORD"]
    storage = variables["RAY_external_storage_namespace"]["value"]
    assert storage == ray_cluster["metadata"]["uid"]


def test_workers_outlive_their_gcs(pods: list[Json]) -> None:
    """The operator's own 600 s must not win over ours."""
    for pod in pods:
        if pod["metadata"]["labels"]["ray.io/node-type"] == "worker":
            variables = [
                v["value"]
                for v in pod["spec"]["containers"][0]["env"]
                if v["name"] == RECONNECT_TIMEOUT
            ]
            assert variables == ["604800"]


def test_workers_are_spread_within_their_own_cluster(pods: list[Json]) -> None:
    for pod in pods:
        if pod["metadata"]["labels"]["ray.io/node-type"] == "worker":
            (spread,) = pod["spec"]["topologySpreadConstraints"]
            # The API server turns matchLabelKeys into a selector of this RayCluster's pods.
            (expression,) = spread["labelSelector"]["matchExpressions"]
            assert expression["values"] == [pod["metadata"]["labels"]["ray.io/cluster"]]


def test_the_budget_covers_the_workers(pods: list[Json], cluster: Cluster) -> None:
    selector = cluster.get("pdb", "user-tags-worker")["spec"]["selector"]["matchLabels"]
    covered = cluster.items("pods", "-l", ",".join(f"{k}={v}" for k, v in selector.items()))

    assert {pod["metadata"]["labels"]["ray.io/node-type"] for pod in covered} == {"worker"}
    assert len(covered) == 3


def test_pods_pass_the_restricted_standard(pods: list[Json], cluster: Cluster) -> None:
    """A namespace that enforces it takes every pod that the operator made."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "restricted",
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "user-tags", "namespace": "restricted"},
    }
    cluster.apply([namespace, account])
    for pod in pods:
        copy = {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": pod["spec"],
            "metadata": {"name": pod["metadata"]["name"], "namespace": "restricted"},
        }
        cluster.kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(copy))


def test_with_ready_pods_the_service_gets_ready(
    pods: list[Json], cluster: Cluster, dashboard: Dashboard
) -> None:
    for number, pod in enumerate(pods):
        address = f"10.1.0.{number + 1}"
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "ContainersReady", "status": "True"},
            ],
        }
        cluster.kubectl(
            "-n",
            NAME,
            "patch",
            "pod",
            pod["metadata"]["name"],
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": status}),
        )

    deployed = wait_until("the Serve config", lambda: dashboard.deployed)
    source = yaml.safe_load((CHECKOUT / "setup" / "serve_config.yaml").read_text())
    assert [a["import_path"] for a in deployed[0]["applications"]] == [
        a["import_path"] for a in source["applications"]
    ]

    def service_names() -> set[str]:
        return {service["metadata"]["name"] for service in cluster.items("services")}

    wait_until("the services", lambda: {f"{NAME}-head-svc", f"{NAME}-serve-svc"} <= service_names())
    serve = cluster.get("service", f"{NAME}-serve-svc")
    assert serve["spec"]["type"] == "LoadBalancer"
    assert [port["port"] for port in serve["spec"]["ports"]] == [8000]
    # No host leads to another one's worker, which may be dead.
    assert serve["spec"]["externalTrafficPolicy"] == "Local"
    selector = ",".join(f"{k}={v}" for k, v in serve["spec"]["selector"].items())
    assert len(cluster.items("pods", "-l", selector)) == 3, "workers, and not the head"

    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": f"{NAME}-serve-svc", "namespace": NAME},
        "subsets": [
            {
                "addresses": [{"ip": f"10.1.0.{n}"} for n in (2, 3, 4)],
                "ports": [{"name": "serve", "port": 8000}],
            }
        ],
    }
    cluster.kubectl("apply", "-f", "-", text=json.dumps(endpoints))
    cluster.kubectl("-n", NAME, "annotate", "rayservice", NAME, "test/look-again=now")
    cluster.kubectl(
        "-n", NAME, "wait", f"rayservice/{NAME}", "--for=condition=Ready", "--timeout=60s"
    )


def test_a_changed_setting_brings_a_second_cluster(pods: list[Json], cluster: Cluster) -> None:
    """Settings come by config maps whose name is their content, so a change is an upgrade."""
    (service,) = [d for d in rendered("prod") if d["kind"] == "RayService"]
    for group in [
        service["spec"]["rayClusterConfig"]["headGroupSpec"],
        *service["spec"]["rayClusterConfig"]["workerGroupSpecs"],
    ]:
        group["template"]["spec"]["containers"][0]["envFrom"][1]["configMapRef"]["name"] += "x"

    cluster.apply([service])

    wait_until("a second RayCluster", lambda: len(cluster.items("rayclusters")) == 2)
