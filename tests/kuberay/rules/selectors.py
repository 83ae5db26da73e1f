"""Labels select what they should: services, budgets, spreading, policies, monitors."""

import math
from collections.abc import Mapping
from typing import Any, Final

from tests.kuberay.manifests import Document, name_of, of_kind, percona_pods, pod_templates

Labels = Mapping[str, str]
HOSTS: Final = 3
"""Of overlay prod, over which every kind of pod is spread evenly."""


def pods(documents: list[Document]) -> list[tuple[str, Labels, int]]:
    """Every kind of pod, ours and the operators', with its labels and how many there are.

    The operators' labels: KubeRay's from its pod.go, Strimzi's from its documentation; Percona's
    pods are told apart by labels that our resource gives them.
    """
    found: list[tuple[str, Labels, int]] = []
    for document in of_kind(documents, "StatefulSet", "Job"):
        template = document["spec"]["template"]
        labels = template["metadata"]["labels"]
        found.append((name_of(document), labels, document["spec"].get("replicas", 1)))
    for service in of_kind(documents, "RayService"):
        cluster = service["spec"]["rayClusterConfig"]
        head = cluster["headGroupSpec"]["template"]["metadata"].get("labels", {})
        found.append(("head", {**head, "ray.io/node-type": "head"}, 1))
        found.append(("redis-cleanup", {**head, "ray.io/node-type": "redis-cleanup"}, 1))
        for group in cluster["workerGroupSpecs"]:
            labels = group["template"]["metadata"].get("labels", {})
            found.append(
                (group["groupName"], {**labels, "ray.io/node-type": "worker"}, group["replicas"])
            )
    for pool in of_kind(documents, "KafkaNodePool"):
        cluster_name = pool["metadata"]["labels"]["strimzi.io/cluster"]
        labels = {
            "strimzi.io/cluster": cluster_name,
            "strimzi.io/name": f"{cluster_name}-kafka",
            "strimzi.io/pool-name": pool["metadata"]["name"],
            "strimzi.io/broker-role": str("broker" in pool["spec"]["roles"]).lower(),
        }
        found.append((name_of(pool), labels, pool["spec"]["replicas"]))
    for kafka in of_kind(documents, "Kafka"):
        name = kafka["metadata"]["name"]
        labels = {"strimzi.io/cluster": name, "strimzi.io/name": f"{name}-entity-operator"}
        found.append((f"{name}-entity-operator", labels, 1))
    found += [(place, pod.get("labels", {}), pod["size"]) for place, pod in percona_pods(documents)]
    return found


def selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a label selector takes these labels; matchLabels is all that we use."""
    unknown = set(selector) - {"matchLabels"}
    assert not unknown, unknown
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def selectors_find_pods(documents: list[Document]) -> list[str]:
    """A selector that finds nobody is a misspelt one."""
    everyone, found = pods(documents), []

    def check(place: str, selector: Mapping[str, Any]) -> None:
        if not any(selects(selector, labels) for _, labels, _ in everyone):
            found.append(f"{place}: {selector} selects no pod")

    for document in of_kind(documents, "Service"):
        check(name_of(document), {"matchLabels": document["spec"]["selector"]})
    for document in of_kind(documents, "PodDisruptionBudget", "PodMonitor"):
        check(name_of(document), document["spec"]["selector"])
    for document in of_kind(documents, "NetworkPolicy"):
        check(name_of(document), document["spec"]["podSelector"])
        rules = [*document["spec"].get("ingress", []), *document["spec"].get("egress", [])]
        for rule in rules:
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    check(name_of(document), peer["podSelector"])
    return found


def services_reach_ports(documents: list[Document]) -> list[str]:
    """A service's named target port is a port of the pods that it selects."""
    found = []
    for service in of_kind(documents, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        ports = {
            port["name"]
            for _, template in pod_templates(documents)
            if selects(selector, template["metadata"].get("labels", {}))
            for container in template["spec"]["containers"]
            for port in container.get("ports", [])
        }
        found += [
            f"{name_of(service)}: no container has a port {port['targetPort']}"
            for port in service["spec"]["ports"]
            if port["targetPort"] not in ports
        ]
    return found


PORTS_OF_OPERATORS: Final = {
    # METRICS_PORT_NAME in Strimzi's MetricsModel.java, with metricsConfig.
    "KafkaNodePool": {"tcp-prometheus"},
    # Of the container haproxy in Percona's pkg/haproxy/haproxy.go: 8404 is not among them.
    "mysql-proxy": {"mysql", "mysql-replicas", "proxy-protocol", "mysqlx"},
}
"""Names of the ports that operators' pods declare."""


def monitors_find_ports(documents: list[Document]) -> list[str]:
    """Prometheus makes a target of each declared port, and drops those that have another name.

    So a port that no container declares, by name or by number, is not scraped, without an error.
    """
    declared: dict[str, set[str]] = {}
    for place, template in pod_templates(documents):
        name = place.rpartition(" ")[2]
        declared[name] = {
            port["name"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", [])
        }
    found = []
    for monitor in of_kind(documents, "PodMonitor"):
        for name, labels, _ in pods(documents):
            if not selects(monitor["spec"]["selector"], labels) or name == "redis-cleanup":
                continue
            there = declared.get(name) or PORTS_OF_OPERATORS.get(name.partition("/")[0], set())
            found += [
                f"{name_of(monitor)}: {name} declares no port {endpoint.get('port')}"
                for endpoint in monitor["spec"]["podMetricsEndpoints"]
                if endpoint.get("port") not in there
            ]
    return found


def stateful_sets_select_themselves(documents: list[Document]) -> list[str]:
    """Their own pods, and nobody else's; and the service that they name exists."""
    services = {document["metadata"]["name"] for document in of_kind(documents, "Service")}
    found = []
    for document in of_kind(documents, "StatefulSet"):
        labels = document["spec"]["template"]["metadata"]["labels"]
        selected = [
            name for name, of, _ in pods(documents) if selects(document["spec"]["selector"], of)
        ]
        if not selects(document["spec"]["selector"], labels) or selected != [name_of(document)]:
            found.append(f"{name_of(document)}: selects {selected}")
        if document["spec"]["serviceName"] not in services:
            found.append(f"{name_of(document)}: no service {document['spec']['serviceName']}")
    return found


def budgets(documents: list[Document]) -> list[tuple[str, Mapping[str, Any], object]]:
    """Ours and those that operators make: place, selector, how many must stay."""
    found: list[tuple[str, Mapping[str, Any], object]] = []
    for budget in of_kind(documents, "PodDisruptionBudget"):
        spec = budget["spec"]
        stays = spec.get("minAvailable")
        if stays is None:
            stays = _number_of_pods(documents, spec["selector"]) - spec["maxUnavailable"]
        found.append((name_of(budget), spec["selector"], stays))
    made: list[tuple[str, Mapping[str, str], Mapping[str, Any]]] = []
    for kafka in of_kind(documents, "Kafka"):
        # One for all pools: generatePodDisruptionBudget in Strimzi's KafkaCluster.java.
        name = kafka["metadata"]["name"]
        labels = {"strimzi.io/cluster": name, "strimzi.io/name": f"{name}-kafka"}
        template = kafka["spec"]["kafka"].get("template", {}).get("podDisruptionBudget", {})
        made.append((name_of(kafka), labels, template))
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        for part in (mysql["spec"]["mysql"], mysql["spec"]["proxy"]["haproxy"]):
            made.append((name_of(mysql), part["labels"], part.get("podDisruptionBudget", {})))
    for place, selected, template in made:
        selector = {"matchLabels": selected}
        stays = max(0, _number_of_pods(documents, selector) - template.get("maxUnavailable", 1))
        found.append((place, selector, stays))
    return found


def _number_of_pods(documents: list[Document], selector: Mapping[str, Any]) -> int:
    return sum(n for _, labels, n in pods(documents) if selects(selector, labels))


def budgets_can_be_met(documents: list[Document]) -> list[str]:
    """A drain of a host must end: all pods of a budget that the host has may be missing at once.

    Those with a local volume stay Pending, and so unavailable, until the host is back. Of a cluster
    of one host, whose drain is an outage anyway, at least one pod may be missing.
    """
    found = []
    one_host = all(n == 1 for name, _, n in pods(documents) if name == "serve")
    for place, selector, stays in budgets(documents):
        counts = [n for _, labels, n in pods(documents) if selects(selector, labels)]
        gone = 1 if one_host else sum(math.ceil(n / HOSTS) for n in counts)
        if not isinstance(stays, int):
            # KubeRay's pods have no controller that a percentage could be taken of.
            found.append(f"{place}: {stays} is not a number")
        elif sum(counts) - stays < gone:
            found.append(
                f"{place}: {stays} of {sum(counts)} must stay, and a host has {gone}, "
                "so no drain ever ends"
            )
    return found


def stores_are_spread(documents: list[Document]) -> list[str]:
    """Local volumes never move: where more than one replica stands, hosts are told apart."""
    found = []
    for pool in of_kind(documents, "KafkaNodePool"):
        affinity = pool["spec"].get("template", {}).get("pod", {}).get("affinity", {})
        required = affinity.get("podAntiAffinity", {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution", []
        )
        wanted = {
            "strimzi.io/cluster": pool["metadata"]["labels"]["strimzi.io/cluster"],
            "strimzi.io/pool-name": pool["metadata"]["name"],
        }
        if pool["spec"]["replicas"] > 1 and not any(
            term["topologyKey"] == "kubernetes.io/hostname"
            and selects(term["labelSelector"], wanted)
            for term in required
        ):
            found.append(f"{name_of(pool)}: two nodes may share a host")
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        server = mysql["spec"]["mysql"]
        key = server.get("affinity", {}).get("antiAffinityTopologyKey")
        if server["size"] > 1 and key != "kubernetes.io/hostname":
            found.append(f"{name_of(mysql)}: two servers may share a host")
    for place, template in pod_templates(documents):
        for constraint in template["spec"].get("topologySpreadConstraints", []):
            labels = dict(template["metadata"]["labels"])
            if place.startswith("RayService"):
                labels["ray.io/node-type"] = "head" if place.endswith("head") else "worker"
            if not selects(constraint["labelSelector"], labels):
                found.append(f"{place}: spreads other pods than itself")
            if constraint.get("nodeTaintsPolicy") != "Honor" or "minDomains" in constraint:
                found.append(f"{place}: a host that takes no pod keeps pods from the others")
    for document in of_kind(documents, "StatefulSet"):
        spread = document["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        hard = [one for one in spread if one["whenUnsatisfiable"] == "DoNotSchedule"]
        on_a_host = -(-document["spec"]["replicas"] // HOSTS)
        if on_a_host == 1:
            continue
        if not hard:
            found.append(f"{name_of(document)}: all nodes may share a host")
        if any(one["maxSkew"] < on_a_host for one in hard):
            found.append(
                f"{name_of(document)}: beside a new host, a pod cannot get back to its own"
            )
    return found


def stores_come_first(documents: list[Document]) -> list[str]:
    """A pod that a volume binds to a host is not kept from it by one that could run elsewhere."""
    classes = {d["metadata"]["name"]: d["value"] for d in of_kind(documents, "PriorityClass")}
    specs = {
        place: template["spec"]
        for place, template in pod_templates(documents)
        if place.startswith("StatefulSet/")
    }
    for pool in of_kind(documents, "KafkaNodePool"):
        specs[name_of(pool)] = pool["spec"].get("template", {}).get("pod", {})
    specs.update(percona_pods(documents))
    return [
        f"{place}: gives way to pods that could run elsewhere"
        for place, spec in specs.items()
        if classes.get(spec.get("priorityClassName"), 0) <= 0
    ]


def policies_deny_by_default(documents: list[Document]) -> list[str]:
    """Everything is denied first, and every kind of pod is then given what it needs."""
    policies = of_kind(documents, "NetworkPolicy")
    found = []
    if not any(
        policy["spec"]["podSelector"] == {}
        and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not policy["spec"].get("ingress")
        and not policy["spec"].get("egress")
        for policy in policies
    ):
        found.append("no policy denies everything by default")
    for name, labels, _ in pods(documents):
        own = [
            policy
            for policy in policies
            if policy["spec"]["podSelector"] and selects(policy["spec"]["podSelector"], labels)
        ]
        if not own:
            found.append(f"{name}: no network policy lets it talk to anyone")
    for policy in policies:
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                if not rule.get(peers) and not rule.get("ports"):
                    found.append(f"{name_of(policy)}: {direction} allows everything")
    return found
