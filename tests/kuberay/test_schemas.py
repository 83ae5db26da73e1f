"""Every resource is what the API server takes: schemas of the operators and of Kubernetes."""

from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest

from tests.kuberay import crd_schema
from tests.kuberay.manifests import (
    OPERATED,
    OVERLAYS,
    Document,
    named,
    rendered,
)

KUBERNETES = "1.34.0"
MONITORING = "monitoring.coreos.com/v1"
needs_crds = pytest.mark.skipif(
    not crd_schema.CRDS.is_dir(), reason=f"no CRDs in {crd_schema.CRDS}"
)


def is_built_in(document: Document) -> bool:
    group = document["apiVersion"].rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


@needs_crds
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_resources_fit_their_crds(overlay: str) -> None:
    checked = set()
    for document in rendered(overlay):
        # The Prometheus operator's CRDs are not among those of shared/.
        if not is_built_in(document) and document["apiVersion"] != MONITORING:
            assert not crd_schema.problems(document), document["metadata"]["name"]
            checked.add(document["kind"])

    of_operators = {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "PerconaServerMySQL"}
    assert checked == {"RayService"} | (of_operators if overlay in OPERATED else set())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_built_in_resources_are_strictly_valid(overlay: str) -> None:
    for document in filter(is_built_in, rendered(overlay)):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_monitors_and_rules_have_the_fields_that_count() -> None:
    documents = [d for d in rendered("prod") if d["apiVersion"] == MONITORING]

    for document in documents:
        if document["kind"] == "PodMonitor":
            assert set(document["spec"]) == {"selector", "podMetricsEndpoints"}
            for endpoint in document["spec"]["podMetricsEndpoints"]:
                assert set(endpoint) <= {"port", "portNumber", "interval", "relabelings"}
        else:
            for rule in document["spec"]["groups"][0]["rules"]:
                assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
                assert rule["labels"]["severity"] in ("warning", "critical")
    assert {d["kind"] for d in documents} == {"PodMonitor", "PrometheusRule"}


@needs_crds
def test_the_backup_component_fits_its_crd_and_its_policies() -> None:
    documents = rendered("prod+mysql-backup")

    mysql = named(documents, "PerconaServerMySQL/mysql")
    assert not crd_schema.problems(mysql)
    storage = mysql["spec"]["backup"]["storages"]["outside"]
    server = mysql["spec"]["mysql"]
    assert storage["podSecurityContext"] == server["podSecurityContext"]
    for one in (mysql["spec"]["backup"], storage):
        assert one["containerSecurityContext"] == server["containerSecurityContext"]
    labels = storage["labels"]
    policy = named(documents, "NetworkPolicy/mysql-backup")
    kubernetes_validate.validate(policy, KUBERNETES, strict=True)
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    (rule,) = named(documents, "NetworkPolicy/mysql-backup-sidecar")["spec"]["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"] == labels
    assert rule["ports"] == policy["spec"]["egress"][0]["ports"]


def misspell(document: Document) -> None:
    document["spec"]["replicaz"] = document["spec"].pop("replicas", 1)


def wrong_role(document: Document) -> None:
    document["spec"]["roles"] = ["zookeeper"]


def number_for_string(document: Document) -> None:
    document["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def wrong_mode(document: Document) -> None:
    document["spec"]["rayClusterConfig"]["authOptions"]["mode"] = "none"


def no_roles(document: Document) -> None:
    del document["spec"]["roles"]


def deep_misspelling(document: Document) -> None:
    groups = document["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    groups[0]["template"]["spec"]["containers"][0]["resource"] = {}


@needs_crds
@pytest.mark.parametrize(
    ("resource", "damage"),
    [
        ("KafkaNodePool/broker", misspell),
        ("KafkaNodePool/broker", wrong_role),
        ("KafkaNodePool/broker", no_roles),
        ("RayService/user-tags", number_for_string),
        ("RayService/user-tags", wrong_mode),
        ("RayService/user-tags", deep_misspelling),
        ("PerconaServerMySQL/mysql", misspell),
        ("KafkaUser/user-tags", misspell),
    ],
)
def test_crd_schemas_bite(resource: str, damage: Callable[[Any], None]) -> None:
    document = named(rendered("prod"), resource)

    damage(document)

    assert crd_schema.problems(document)


@pytest.mark.parametrize("resource", ["StatefulSet/redis", "NetworkPolicy/serve"])
def test_built_in_schemas_bite(resource: str) -> None:
    document = named(rendered("prod"), resource)

    misspell(document)

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
