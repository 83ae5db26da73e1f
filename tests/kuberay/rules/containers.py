"""Containers: bounded, watched, and without rights."""

from tests.kuberay.manifests import RAY_SERVICE, Document, containers, percona_pods, pod_templates


def containers_are_bounded(documents: list[Document]) -> list[str]:
    """Requests and limits for processor and memory; Redis' memory is its own."""
    found = []
    for place, container in containers(documents):
        resources = container.get("resources", {})
        for what in ("cpu", "memory"):
            found += [
                f"{place}: no {part} for {what}"
                for part in ("requests", "limits")
                if what not in resources.get(part, {})
            ]
        memory = {resources.get(part, {}).get("memory") for part in ("requests", "limits")}
        if place == "StatefulSet/redis redis" and len(memory) != 1:
            found.append(f"{place}: may be killed for memory that it was promised: {memory}")
    return found


def containers_are_watched(documents: list[Document]) -> list[str]:
    """Liveness and readiness, but for jobs, and for Ray's pods, where KubeRay puts its own.

    KubeRay only does so where none is given: a probe of ours there would hide that a proxy is ill,
    unless it asks as much: a worker's proxy for readiness, Redis for the head's liveness.
    """
    found = []
    for place, container in containers(documents):
        probes = [name for name in ("livenessProbe", "readinessProbe") if name in container]
        if place.startswith(RAY_SERVICE):
            asks = {
                ("ray-head", "livenessProbe"): "internal_kv_get",
                ("ray-worker", "readinessProbe"): "'path': '/-/healthz', 'port': 'serve'",
            }
            found += [
                f"{place}: {name} keeps KubeRay's out"
                for name in probes
                if asks.get((container["name"], name), "nothing") not in str(container[name])
            ]
        elif not place.startswith(("Job/", "CronJob/")) and len(probes) < 2:
            found.append(f"{place}: has only {probes} of liveness and readiness")
    return found


def redis_probes_ask_what_they_decide(documents: list[Document]) -> list[str]:
    """Readiness, which holds up the next node, asks for replication; what restarts does not.

    A replica whose master is away would otherwise be restarted for it, again and again; so would
    one that loads its master's data. None needs DNS, whose outage would restart all nodes at once.
    """
    found = []
    for place, container in containers(documents):
        if place != "StatefulSet/redis redis":
            continue
        asks = {
            name: " ".join(container.get(name, {}).get("exec", {}).get("command", []))
            for name in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        found += [f"{place}: {n} needs DNS" for n, command in asks.items() if "SERVICE" in command]
        if not asks["readinessProbe"].endswith("ready.sh"):
            found.append(f"{place}: ready without its master's data")
        if not asks["startupProbe"].endswith('ping)" = PONG'):
            found.append(f"{place}: startupProbe asks more than PING")
        if not asks["livenessProbe"].endswith("alive.sh"):
            found.append(f"{place}: livenessProbe takes a node that loads for dead, or asks more")
    return found


def containers_have_no_rights(documents: list[Document]) -> list[str]:
    """What the "restricted" pod security standard asks for, and a read-only root file system."""
    found = []
    pods = [
        (place, template["spec"].get("securityContext", {}))
        for place, template in pod_templates(documents)
    ]
    # Percona's operator sets none of its own.
    pods += [(place, pod.get("podSecurityContext", {})) for place, pod in percona_pods(documents)]
    for place, security in pods:
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            found.append(f"{place}: may run as root")
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            found.append(f"{place}: no seccomp profile")
    for place, template in pod_templates(documents):
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if template["spec"].get(field):
                found.append(f"{place}: {field}")
    for place, container in containers(documents):
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False:
            found.append(f"{place}: may gain privileges")
        if security.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append(f"{place}: keeps capabilities")
        if security.get("readOnlyRootFilesystem") is not True:
            found.append(f"{place}: can write to its image")
        if security.get("privileged"):
            found.append(f"{place}: is privileged")
    return found


def no_token_is_mounted(documents: list[Document]) -> list[str]:
    """None of our pods asks the API server, so none carries a token for it."""
    return [
        f"{place}: mounts a token of its service account"
        for place, template in pod_templates(documents)
        if template["spec"].get("automountServiceAccountToken") is not False
    ]
