"""Which host has what, and Redis nodes: command ``redis`` of docs/kubernetes/recovery.md."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.kuberay.pods.kube import Kube, KubectlError, is_ready, wait_for

WORKER: Final = "ray.io/node-type=worker"
WORKERS: Final = 3
"""As many as there should be on three nodes."""
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
"""The taint of a host that is certainly off."""
HOSTNAME: Final = "kubernetes.io/hostname"
_ASK: Final = (
    "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli --tls --cacert /etc/redis-tls/ca.crt "
    '-h "$POD_NAME.$SERVICE" "$@"'
)


def not_ready(kube: Kube, node: str) -> bool:
    """Whether Kubernetes has missed the node."""
    conditions = kube.get("node", node)["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] != "True" for one in conditions)


def pods_on(kube: Kube, node: str) -> list[dict[str, Any]]:
    """Pods of the platform, whatever their state."""
    return kube.items("pods", "--field-selector", f"spec.nodeName={node}")


def workers(kube: Kube) -> list[dict[str, Any]]:
    """Pods of Ray's workers, of both RayClusters during an upgrade."""
    return kube.items("pods", "-l", WORKER)


def ready_workers(kube: Kube) -> list[dict[str, Any]]:
    """Those that are ready."""
    return [pod for pod in workers(kube) if is_ready(pod)]


def wait_for_workers(kube: Kube, *, elsewhere_than: str) -> None:
    """`WORKERS` that are ready, none of them on the host ``elsewhere_than``."""

    def there() -> bool:
        hosts = [pod["spec"]["nodeName"] for pod in ready_workers(kube)]
        print("workers:", hosts, flush=True)
        return len(hosts) == WORKERS and elsewhere_than not in hosts

    wait_for(f"{WORKERS} workers elsewhere than on {elsewhere_than}", there, timeout_s=300)


def part_workers(kube: Kube) -> None:
    """Where a host has two workers, delete one: it starts on the host that has none."""
    pods = ready_workers(kube)
    hosts = Counter(pod["spec"]["nodeName"] for pod in pods)
    for pod in pods:
        host = pod["spec"]["nodeName"]
        if hosts[host] > 1:
            hosts[host] -= 1
            kube.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")

    def parted() -> bool:
        now = ready_workers(kube)
        return len(now) == len({pod["spec"]["nodeName"] for pod in now}) == WORKERS

    wait_for("a worker on each host", parted, timeout_s=300)


def identities(pods: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    """Of each pod that has started its uid and how often its first container was restarted."""
    return {
        (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in pods
        if pod["status"].get("containerStatuses")
    }


def volumes_on(kube: Kube, node: str) -> dict[str, str]:
    """The platform's local volumes there: claim by volume."""
    found = {}
    for volume in kube.items("persistentvolumes"):
        affinity = volume["spec"].get("nodeAffinity", {}).get("required", {})
        hosts = [
            value
            for term in affinity.get("nodeSelectorTerms", [])
            for expression in term["matchExpressions"]
            if expression["key"] == HOSTNAME
            for value in expression["values"]
        ]
        if hosts == [node]:
            found[str(volume["metadata"]["name"])] = str(volume["spec"]["claimRef"]["name"])
    return found


def redis(kube: Kube, pod: str, *command: str, timeout_s: float = 120) -> str:
    """What the Redis of a pod answers."""
    run = ("exec", pod, "-c", "redis", "--", "sh", "-c", _ASK, "redis")
    return kube.kubectl(*run, *command, timeout_s=timeout_s)


def failed_redis_nodes(kube: Kube, pod: str) -> set[str]:
    """Ids of nodes that the cluster has given up, as ``pod`` knows."""
    lines = [line.split() for line in redis(kube, pod, "CLUSTER", "NODES").splitlines()]
    return {name for name, _, flags, *_ in lines if "fail" in flags.split(",")}


def masters_parted(kube: Kube) -> bool:
    """Whether each is on a host of its own, as CronJob redis-hosts leaves them."""
    try:
        printed = redis(kube, "redis-0", "CLUSTER", "NODES")
    except KubectlError:
        return False
    pods = [
        line.split()[1].partition(",")[2].partition(".")[0]
        for line in printed.splitlines()
        if "master" in line.split()[2] and "fail" not in line.split()[2] and line.split()[8:]
    ]
    hosts = {kube.get("pod", pod)["spec"]["nodeName"] for pod in pods}
    print("Redis masters:", pods, hosts, flush=True)
    return len(pods) == len(hosts) == 3
