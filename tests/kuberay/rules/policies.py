"""Network policies, read as a graph: who may open a connection to whom, on which port."""

from typing import Any, Final

from tests.kuberay.manifests import Document, of_kind
from tests.kuberay.rules.selectors import Labels, pods, selects

NEEDED: Final = (
    ("serve", "KafkaNodePool/broker", 9093),
    ("serve", "StatefulSet/redis", 6379),
    ("serve", "mysql-proxy", 3306),
    ("serve", "head", 6379),
    ("head", "serve", 10002),
    ("head", "StatefulSet/gcs-redis", 6379),
    ("redis-cleanup", "StatefulSet/gcs-redis", 6379),
    ("StatefulSet/redis", "StatefulSet/redis", 16379),
    ("Job/redis-bootstrap", "StatefulSet/redis", 6379),
    ("Job/mysql-schema", "mysql-proxy", 3306),
    ("mysql-proxy", "mysql", 3306),
    ("mysql", "mysql", 33061),
    ("KafkaNodePool/broker", "KafkaNodePool/controller", 9090),
    ("KafkaNodePool/broker", "KafkaNodePool/broker", 9091),
    ("kafka-entity-operator", "KafkaNodePool/broker", 9091),
    # Overlay plain.
    ("serve", "StatefulSet/kafka", 9093),
    ("serve", "StatefulSet/mysql", 3306),
    ("Job/kafka-topics", "StatefulSet/kafka", 9093),
    ("Job/mysql-schema", "StatefulSet/mysql", 3306),
)
API_SERVER_CLIENTS: Final = ("KafkaNodePool/", "kafka-entity-operator")
"""Pods of Strimzi's that ask the API server: nodes for their certificates, operators for all."""
API_SERVER_PORTS: Final = (443, 6443)
FORBIDDEN: Final = (
    ("Job/redis-bootstrap", "mysql-proxy", 3306),
    ("Job/mysql-schema", "StatefulSet/redis", 6379),
    ("StatefulSet/redis", "KafkaNodePool/broker", 9093),
    ("serve", "StatefulSet/redis", 16379),
    ("serve", "mysql", 3306),
    ("serve", "KafkaNodePool/controller", 9090),
    ("KafkaNodePool/broker", "mysql-proxy", 3306),
    ("Job/redis-bootstrap", "StatefulSet/mysql", 3306),
    ("Job/kafka-topics", "StatefulSet/mysql", 3306),
    ("Job/mysql-schema", "StatefulSet/kafka", 9093),
    ("StatefulSet/redis", "StatefulSet/kafka", 9093),
)


def connections_are_allowed_as_needed(documents: list[Document]) -> list[str]:
    """Each connection of `NEEDED` passes both sides' policies, none of `FORBIDDEN` does."""
    there = {name for name, _, _ in pods(documents)}
    found = []
    for connections, wanted in ((NEEDED, True), (FORBIDDEN, False)):
        for source, target, port in connections:
            if not {source, target} <= there:
                continue  # of another overlay; a test sees to it that each is of some overlay
            if may_connect(documents, source, target, port) is not wanted:
                word = "may not" if wanted else "may"
                found.append(f"{source} {word} connect to {target} on port {port}")
    return found


def may_connect(documents: list[Document], source: str, target: str, port: int) -> bool:
    """Whether both sides' policies let it pass; of kinds of pods by name, as of `pods`."""
    there = {name: labels for name, labels, _ in pods(documents)}
    return _passes(documents, "egress", there[source], there[target], port) and _passes(
        documents, "ingress", there[target], there[source], port
    )


def operators_pods_reach_the_api_server(documents: list[Document]) -> list[str]:
    """The API server is no pod, so only a rule without peers lets anyone out to it; nobody else."""
    return [
        f"{name}: {'may not' if needed else 'may'} connect to the API server on port {port}"
        for name, labels, _ in pods(documents)
        for needed in [name.startswith(API_SERVER_CLIENTS)]
        for port in API_SERVER_PORTS
        if needed is not _passes(documents, "egress", labels, {}, port)
    ]


def _passes(
    documents: list[Document], direction: str, own: Labels, other: Labels, port: int
) -> bool:
    return any(
        _rule_passes(rule, "from" if direction == "ingress" else "to", other, port)
        for policy in of_kind(documents, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], own)
        for rule in policy["spec"].get(direction, [])
    )


def _rule_passes(rule: dict[str, Any], key: str, other: Labels, port: int) -> bool:
    ports = rule.get("ports")
    if ports and not any(entry["port"] == port for entry in ports):
        return False
    peers = rule.get(key)
    return not peers or any(
        selects(peer["podSelector"], other)
        for peer in peers
        if "podSelector" in peer and "namespaceSelector" not in peer
    )
