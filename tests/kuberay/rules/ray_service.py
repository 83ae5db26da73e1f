"""RayService: KubeRay's own validation, and traps that it does not see (docs/architecture.md, C18).

The first part says in Python what ray-operator/controllers/ray/utils/validation.go checks at
v1.7.0 of what a RayService can get wrong; the operator reports such things only in its status.
"""

import re
from typing import Any, Final

import yaml

from tests.kuberay.manifests import Document, named, of_kind

DNS_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
MAX_NAME: Final = 41
"""MaxRayServiceNameLength: room for what the operator appends."""
STRATEGIES: Final = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
RESOURCE_PARAMETERS: Final = ("num-cpus", "num-gpus", "memory", "resources")
MIN_AUTH_VERSION: Final = (2, 52, 0)
RECONNECT_TIMEOUT: Final = "RAY_gcs_rpc_server_reconnect_timeout_s"
MIN_RECONNECT_S: Final = 86_400
DRAIN_TIMEOUT: Final = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
KEEPALIVE: Final = (
    "RAY_grpc_client_keepalive_time_ms",
    "RAY_grpc_client_keepalive_timeout_ms",
)
MOST_SILENT_MS: Final = 20_000
PATIENCE: Final = "RAY_SERVE_SLOW_STARTUP_WARNING_S"
LEAST_PATIENCE_S: Final = 300
OF_SEVERAL: Final = (DRAIN_TIMEOUT, *KEEPALIVE, PATIENCE)
"""Of Ray's environment what a lone worker does not need."""
LEAVE: Final = ["python", "-m", "setup.ingress.leave"]
LEAST_PAUSE_S: Final = 35
"""Before Ray stops: longer than a balancer takes to miss a host."""
REPLICA_S: Final = 35
"""What Serve makes of graceful_shutdown_timeout_s where replicas have HTTP servers of their own."""
REDIS_VARIABLES: Final = ("REDIS_PASSWORD", "RAY_REDIS_ADDRESS", "REDIS_USERNAME")


def kuberay_takes_it(documents: list[Document]) -> list[str]:
    """Everything that KubeRay would refuse."""
    found = []
    for service in of_kind(documents, "RayService"):
        found += _metadata(service) + _service(service["spec"])
        found += _cluster(service["spec"]["rayClusterConfig"], service["metadata"])
    return found


def _metadata(service: Document) -> list[str]:
    name, found = service["metadata"]["name"], []
    if len(name) > MAX_NAME or not DNS_1035.fullmatch(name):
        found.append(f"name {name}: no DNS-1035 label of at most {MAX_NAME} characters")
    timeout = service["metadata"].get("annotations", {}).get("ray.io/initializing-timeout", "")
    if timeout and not re.fullmatch(r"[1-9]\d*|([1-9]\d*(ms|s|m|h))+", timeout):
        found.append(f"ray.io/initializing-timeout {timeout}: no positive duration")
    return found


def _service(spec: Document) -> list[str]:
    found = []
    strategy = spec.get("upgradeStrategy", {}).get("type", "NewCluster")
    if strategy not in STRATEGIES:
        found.append(f"upgradeStrategy.type {strategy}: not one of {STRATEGIES}")
    if spec.get("rayClusterDeletionDelaySeconds", 0) < 0:
        found.append("rayClusterDeletionDelaySeconds is negative")
    if (
        spec["rayClusterConfig"]["headGroupSpec"]
        .get("headService", {})
        .get("metadata", {})
        .get("name")
    ):
        found.append("headService.metadata.name must not be set")
    if strategy == "NewClusterWithIncrementalUpgrade":
        options = spec["upgradeStrategy"].get("clusterUpgradeOptions")
        if not spec["rayClusterConfig"].get("enableInTreeAutoscaling") or not options:
            found.append("an incremental upgrade needs the autoscaler and clusterUpgradeOptions")
    return found


def _cluster(cluster: Document, metadata: Document) -> list[str]:
    found = []
    head = cluster["headGroupSpec"]
    groups = [("head", head)] + [(g["groupName"], g) for g in cluster["workerGroupSpecs"]]
    for name, group in groups:
        parameters = group.get("rayStartParams", {})
        if not group["template"]["spec"].get("containers"):
            found.append(f"{name}: no container")
        if group.get("resources") and any(parameters.get(key) for key in RESOURCE_PARAMETERS):
            found.append(f"{name}: resources both in rayStartParams and in resources")
        if "labels" in parameters:
            found.append(f"{name}: labels belong beside rayStartParams, not into it")
        if group.get("suspend"):
            found.append(f"{name}: suspend needs a feature gate")
        found += [
            f"{name}: rayStartParams.{key} must be a string"
            for key, value in parameters.items()
            if not isinstance(value, str)
        ]
    return found + _fault_tolerance(cluster, metadata) + _authentication(cluster)


def _fault_tolerance(cluster: Document, metadata: Document) -> list[str]:
    head = cluster["headGroupSpec"]
    # KubeRay takes the first container for Ray's.
    containers = head["template"]["spec"]["containers"][:1]
    variables = {
        variable["name"]: variable.get("value")
        for container in containers
        for variable in container.get("env", [])
    }
    annotations, found = metadata.get("annotations", {}), []
    options = cluster.get("gcsFaultToleranceOptions")
    if options is None:
        if "RAY_REDIS_ADDRESS" in variables:
            found.append("RAY_REDIS_ADDRESS without gcsFaultToleranceOptions")
    else:
        if head.get("rayStartParams", {}).get("redis-password"):
            found.append("redis-password belongs into gcsFaultToleranceOptions")
        found += [
            f"{name} must not be set on the head" for name in REDIS_VARIABLES if name in variables
        ]
        found += [
            f"annotation {name} beside gcsFaultToleranceOptions"
            for name in ("ray.io/ft-enabled", "ray.io/external-storage-namespace")
            if annotations.get(name)
        ]
    if head.get("rayStartParams", {}).get("redis-username"):
        found.append("redis-username belongs into gcsFaultToleranceOptions")
    autoscaled = cluster.get("enableInTreeAutoscaling")
    if not autoscaled and variables.get("RAY_enable_autoscaler_v2") in ("1", "true"):
        found.append("RAY_enable_autoscaler_v2 without enableInTreeAutoscaling")
    return found


def _authentication(cluster: Document) -> list[str]:
    if cluster.get("authOptions", {}).get("mode") != "token":
        return []
    version = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", cluster.get("rayVersion", ""))
    if version is None or tuple(map(int, version.groups())) < MIN_AUTH_VERSION:
        return [f"authOptions.mode token needs rayVersion, 2.52.0 at least: {version}"]
    return []


def traps_are_avoided(documents: list[Document]) -> list[str]:
    """What KubeRay takes and what then does not work, or not as meant."""
    found: list[str] = []
    for service in of_kind(documents, "RayService"):
        spec = service["spec"]
        cluster = spec["rayClusterConfig"]
        head = cluster["headGroupSpec"]
        checks: dict[str, Any] = {
            "upgradeStrategy.type is not NewCluster": spec.get("upgradeStrategy", {}).get("type")
            == "NewCluster",
            "the head is in the serve service": spec.get("excludeHeadPodFromServeSvc") is True,
            "the head takes replicas": head["rayStartParams"].get("num-cpus") == "0",
            "no token authentication": cluster.get("authOptions", {}).get("mode") == "token",
            "Ray's state dies with its head": "gcsFaultToleranceOptions" in cluster,
            "an upgrade's two clusters would share their state": "externalStorageNamespace"
            not in cluster.get("gcsFaultToleranceOptions", {}),
        }
        found += [problem for problem, fine in checks.items() if not fine]
        for name, group in [
            ("head", head),
            *((g["groupName"], g) for g in cluster["workerGroupSpecs"]),
        ]:
            container = group["template"]["spec"]["containers"][0]
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            if ports.get("serve") != 8000:
                found.append(f"{name}: port 8000 is not named serve")
            if "ray-environment" not in "".join(
                source.get("configMapRef", {}).get("name", "")
                for source in container.get("envFrom", [])
            ):
                found.append(f"{name}: lacks Ray's environment, so HAProxy would not be used")
            if container.get("command") or container.get("args"):
                found.append(f"{name}: a command of its own replaces `ray start`")
    return found


def requests_need_no_single_host(documents: list[Document]) -> list[str]:
    """Neither a dead host nor a GCS that is away takes requests along that others could answer."""
    found = []
    for service in of_kind(documents, "RayService"):
        for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
            # In env: KubeRay does not look into envFrom, and adds its own 600 s.
            variables = {
                variable["name"]: variable.get("value", "0")
                for variable in group["template"]["spec"]["containers"][0].get("env", [])
            }
            timeout_s = int(variables.get(RECONNECT_TIMEOUT, 600))
            if timeout_s < MIN_RECONNECT_S:
                found.append(f"{group['groupName']}: ends itself {timeout_s} s after its GCS")
        found += _lonely_actors(service["spec"]) + _unheard_head(documents, service)
        way_in = service["spec"].get("serveService", {}).get("spec", {})
        from_outside = way_in.get("type") in ("LoadBalancer", "NodePort")
        if from_outside and way_in.get("externalTrafficPolicy") != "Local":
            found.append("every host leads to the dead worker of another")
    return found


def workers_end_in_time(documents: list[Document]) -> list[str]:
    """One of several serves until the service has removed it; nobody waits for a lone one's end.

    Each parts with its clients before its replica goes.

    The next worker comes only when the one before is gone, and by default Ray waits 30 s for its
    replicas to be moved (`ray._private.ray_constants`).
    """
    found = []
    for service in of_kind(documents, "RayService"):
        groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        for group in groups:
            container = group["template"]["spec"]["containers"][0]
            hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
            *program, pause = hook.get("command", ("0",))
            if program != LEAVE:
                found.append("a worker ends while clients have connections to it")
            pause_s = float(pause)
            drain_s = float(_environment(documents, container).get(DRAIN_TIMEOUT, 30))
            if sum(group["replicas"] for group in groups) == 1:
                if pause_s + drain_s > 1:
                    found.append(f"the only worker ends {pause_s + drain_s:g} s late")
            elif pause_s < LEAST_PAUSE_S or drain_s < REPLICA_S:
                found.append("a worker ends while connections and replicas are led to it")
            grace_s = group["template"]["spec"]["terminationGracePeriodSeconds"]
            if grace_s < pause_s + drain_s:
                found.append(f"a worker is killed after {grace_s} s, before it has drained")
    return found


def _environment(documents: list[Document], container: Document) -> dict[str, str]:
    return {
        key: value
        for source in container["envFrom"]
        for config_map in of_kind(documents, "ConfigMap")
        if config_map["metadata"]["name"] == source["configMapRef"]["name"]
        for key, value in config_map["data"].items()
    }


def _unheard_head(documents: list[Document], service: Document) -> list[str]:
    """Workers that do not hear in time that a head on another host has taken over.

    Its controller waits for them for what Serve calls a slow startup (30 s), and then ends their
    replicas (`ray.serve._private.deployment_state`, ``stop_on_slow``).
    """
    cluster = service["spec"]["rayClusterConfig"]
    groups = cluster["workerGroupSpecs"]
    if sum(group["replicas"] for group in groups) == 1:
        return []
    found = []
    for group in (cluster["headGroupSpec"], *groups):
        container = group["template"]["spec"]["containers"][0]
        environment = _environment(documents, container)
        silent_ms = sum(int(environment.get(name, 300_000)) for name in KEEPALIVE)
        if silent_ms > MOST_SILENT_MS:
            found.append(f"{container['name']}: misses a silent host after {silent_ms} ms")
        patience_s = float(environment.get(PATIENCE, 30))
        if patience_s < LEAST_PATIENCE_S:
            found.append(f"{container['name']}: replicas are given up after {patience_s:g} s")
    return found


def _lonely_actors(spec: Document) -> list[str]:
    """Partition actors that a host takes along: nobody answers profiles before they are back."""
    if sum(group["replicas"] for group in spec["rayClusterConfig"]["workerGroupSpecs"]) == 1:
        return []
    config = yaml.safe_load(spec["serveConfigV2"])
    case3 = next(one for one in config["applications"] if one["name"] == "case3")
    by_name = {one["name"]: one for one in case3["deployments"]}
    return [
        f"case3-{number} is on one host alone"
        for number in range(case3["args"]["partitions"])
        if (actor := by_name.get(f"case3-{number}", {})).get("num_replicas", 1) < 2
        or actor.get("max_replicas_per_node") != 1
    ]


def replicas_fit_the_workers(documents: list[Document]) -> list[str]:
    """Every worker gets a replica of case12, or it stays unready; and all that is asked fits."""
    found: list[str] = []
    for service in of_kind(documents, "RayService"):
        groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        workers = sum(group["replicas"] for group in groups)
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        if config.get("proxy_location") != "EveryNode":
            found.append("proxy_location is not EveryNode: workers would never be ready")
        case12 = next(
            d
            for a in config["applications"]
            for d in a.get("deployments", [])
            if d["name"] == "case12"
        )
        limit = case12.get("max_replicas_per_node")
        if workers > 1 and (limit != 1 or case12["num_replicas"] != workers):
            found.append(
                f"{case12['num_replicas']} replicas, at most {limit} a worker, on {workers} workers"
            )
        if limit and case12["num_replicas"] >= limit * workers and case12["max_surge_percent"]:
            found.append("a replacement of case12 would wait for a worker without one, for ever")
        for group in groups:
            if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
                found.append(f"{group['groupName']}: replicas outside of their bounds")
        cpus = sum(float(g["rayStartParams"]["num-cpus"]) * g["replicas"] for g in groups)
        # One for each partition, and the status ingress: actors/app.py.
        case3 = next(a for a in config["applications"] if a["name"] == "case3")
        there = {d["name"] for d in case3["deployments"]}
        wanted = {"case3", *(f"case3-{n}" for n in range(case3["args"]["partitions"]))}
        if there != wanted:
            found.append(f"deployments of case3: {sorted(there ^ wanted)} too many or too few")
        needed = sum(
            d.get("num_replicas", 1) * d["ray_actor_options"]["num_cpus"]
            for d in (case12, *case3["deployments"])
        )
        if needed > cpus:
            found.append(f"deployments ask for {needed:.1f} CPUs, workers have {cpus}")
    return found


def numbers_of_pods_agree(documents: list[Document]) -> list[str]:
    """What says a number of workers or shards of its own: the workers' budget, and alerts."""
    found = []
    workers = sum(
        group["replicas"]
        for service in of_kind(documents, "RayService")
        for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    )
    stays = named(documents, "PodDisruptionBudget/user-tags-worker")["spec"]["minAvailable"]
    if stays != workers - 1:
        found.append(f"{stays} of {workers} workers must stay, not {workers - 1}")
    # One replica of each master.
    wanted = {
        "ServeWorkersMissing": workers,
        "RedisReplicaMissing": named(documents, "StatefulSet/redis")["spec"]["replicas"] // 2,
    }
    for document in of_kind(documents, "PrometheusRule"):
        for rule in document["spec"]["groups"][0]["rules"]:
            number = wanted.get(rule["alert"])
            if number is not None and not rule["expr"].endswith(f" < {number}"):
                found.append(f"{rule['alert']}: is not about {number}: {rule['expr']}")
    return found
