"""Every rule holds for every overlay, and notices when it is broken."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import yaml

from tests.kuberay import manifests
from tests.kuberay.manifests import (
    OPERATED,
    OVERLAYS,
    SENTINEL,
    Document,
    amount,
    named,
    of_kind,
    rendered,
)
from tests.kuberay.rules import (
    containers,
    images,
    kafka,
    mysql,
    policies,
    ray_service,
    references,
    selectors,
    serve_config,
    stages,
)

Rule = Callable[[list[Document]], list[str]]
Damage = Callable[[list[Document]], None]

RULES: list[Rule] = [
    images.images_are_pinned,
    images.images_are_maintained,
    containers.containers_are_bounded,
    containers.containers_are_watched,
    containers.redis_probes_ask_what_they_decide,
    containers.containers_have_no_rights,
    containers.no_token_is_mounted,
    references.secrets_exist,
    references.config_maps_exist,
    references.mounts_have_volumes,
    references.accounts_exist,
    references.storage_classes_exist,
    references.everything_is_in_the_namespace,
    references.addresses_lead_somewhere,
    references.ca_files_are_mounted,
    selectors.selectors_find_pods,
    selectors.services_reach_ports,
    selectors.monitors_find_ports,
    selectors.stateful_sets_select_themselves,
    selectors.budgets_can_be_met,
    selectors.stores_are_spread,
    selectors.stores_come_first,
    selectors.policies_deny_by_default,
    policies.connections_are_allowed_as_needed,
    policies.operators_pods_reach_the_api_server,
    ray_service.kuberay_takes_it,
    ray_service.traps_are_avoided,
    ray_service.requests_need_no_single_host,
    ray_service.workers_end_in_time,
    ray_service.replicas_fit_the_workers,
    ray_service.numbers_of_pods_agree,
    serve_config.serve_config_is_valid,
    stages.stages_are_right,
    stages.config_maps_come_first,
]
RULES_OF_OPERATORS: list[Rule] = [
    kafka.topics_agree_with_setup,
    kafka.losing_a_broker_loses_nothing,
    kafka.the_user_may_what_it_needs,
    mysql.options_of_plugins_are_loose,
]


@pytest.mark.parametrize("overlay", [*OVERLAYS, SENTINEL])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule, overlay: str) -> None:
    assert rule(rendered(overlay)) == []


@pytest.mark.parametrize("overlay", OPERATED)
@pytest.mark.parametrize("rule", RULES_OF_OPERATORS, ids=lambda rule: rule.__name__)
def test_rule_for_resources_of_operators_holds(rule: Rule, overlay: str) -> None:
    assert rule(rendered(overlay)) == []


def test_connections_are_between_pods_that_some_overlay_has() -> None:
    there = [{name for name, _, _ in selectors.pods(rendered(overlay))} for overlay in OVERLAYS]

    for source, target, _ in (*policies.NEEDED, *policies.FORBIDDEN):
        assert any({source, target} <= names for names in there), (source, target)


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        ("head", "StatefulSet/gcs-redis", 26379, True),
        ("redis-cleanup", "StatefulSet/gcs-redis", 26379, True),
        ("StatefulSet/gcs-redis", "StatefulSet/gcs-redis", 26379, True),
        ("StatefulSet/gcs-redis", "StatefulSet/gcs-redis", 6379, True),
        ("serve", "StatefulSet/gcs-redis", 26379, False),
        ("StatefulSet/gcs-redis", "StatefulSet/redis", 6379, False),
    ],
)
def test_sentinels_are_asked_by_those_who_need_the_master(
    source: str, target: str, port: int, *, allowed: bool
) -> None:
    assert policies.may_connect(rendered(SENTINEL), source, target, port) is allowed


def test_an_upgrade_of_a_small_cluster_fits_two_cores() -> None:
    """The second RayCluster's worker would wait for ever for what the first one requests."""
    documents = rendered("plain")
    requested = Decimal(0)
    for place, container in manifests.containers(documents):
        number = 2 if place.startswith(manifests.RAY_SERVICE) else 0
        if place.startswith("StatefulSet/"):
            number = named(documents, place.split()[0])["spec"]["replicas"]
        requested += number * amount(container["resources"]["requests"]["cpu"]) * 1000

    # What else runs there: names, storage, KubeRay's operator.
    assert requested <= 2000 - 150


def put(resource: str, path: str, value: Any) -> Damage:
    """Sets ``path`` (a JSON pointer) of a resource to ``value``; ``...`` removes what is there."""

    def damage(documents: list[Document]) -> None:
        target: Any = named(documents, resource)
        parts = (part.replace("~1", "/") for part in path.split("/"))
        *steps, last = [int(part) if part.isdecimal() else part for part in parts]
        for step in steps:
            target = target[step]
        if value is ...:
            del target[last]
        else:
            target[last] = value

    return damage


def both(first: Damage, second: Damage) -> Damage:
    def damage(documents: list[Document]) -> None:
        first(documents)
        second(documents)

    return damage


def without(kind_and_name: str) -> Damage:
    def damage(documents: list[Document]) -> None:
        documents.remove(named(documents, kind_and_name))

    return damage


def in_serve_config(change: Callable[[Any], None]) -> Damage:
    def damage(documents: list[Document]) -> None:
        spec = of_kind(documents, "RayService")[0]["spec"]
        config = yaml.safe_load(spec["serveConfigV2"])
        change(config)
        spec["serveConfigV2"] = yaml.safe_dump(config)

    return damage


def in_settings(name: str, value: str) -> Damage:
    def damage(documents: list[Document]) -> None:
        for document in of_kind(documents, "ConfigMap"):
            if name in document["data"]:
                document["data"][name] = value

    return damage


def settings_in_stage(stage: str) -> Damage:
    def damage(documents: list[Document]) -> None:
        for document in of_kind(documents, "ConfigMap"):
            if document["metadata"]["name"].startswith("user-tags-settings"):
                document["metadata"]["labels"]["user-tags.io/stage"] = stage

    return damage


def add(document: Document) -> Damage:
    return lambda documents: documents.append(document)


def acl(name: str, operations: list[str]) -> Document:
    return {
        "resource": {"type": "topic", "name": name, "patternType": "literal"},
        "operations": operations,
    }


REDIS = "StatefulSet/redis"
POD = "spec/template/spec"
CONTAINER = f"{POD}/containers/0"
SERVICE = "RayService/user-tags"
CLUSTER = "spec/rayClusterConfig"
HEAD = f"{CLUSTER}/headGroupSpec"
WORKER = f"{CLUSTER}/workerGroupSpecs/0"
HEAD_CONTAINER = f"{HEAD}/template/spec/containers/0"
WORKER_CONTAINER = f"{WORKER}/template/spec/containers/0"
MYSQL = "PerconaServerMySQL/mysql"
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "rights", "namespace": "user-tags"},
}

BROKEN: list[tuple[Rule, Damage]] = [
    (images.images_are_pinned, put(REDIS, f"{CONTAINER}/image", "redis:latest")),
    (images.images_are_pinned, put(REDIS, f"{CONTAINER}/image", "redis")),
    (images.images_are_pinned, put(MYSQL, "spec/mysql/image", "percona/percona-server:main")),
    (images.images_are_pinned, put(SERVICE, f"{HEAD_CONTAINER}/image", "host:5000/user-tags")),
    (images.images_are_maintained, put(REDIS, f"{CONTAINER}/image", "bitnami/redis:7.4.1")),
    (containers.containers_are_bounded, put(REDIS, f"{CONTAINER}/resources/limits/memory", ...)),
    (containers.containers_are_bounded, put(REDIS, f"{CONTAINER}/resources/limits/memory", "9Gi")),
    (containers.containers_are_bounded, put(SERVICE, f"{WORKER_CONTAINER}/resources", {})),
    (
        containers.containers_are_bounded,
        put("Job/mysql-schema", f"{POD}/initContainers/0/resources/requests/cpu", ...),
    ),
    (containers.containers_are_watched, put(REDIS, f"{CONTAINER}/livenessProbe", ...)),
    (
        containers.containers_are_watched,
        put(SERVICE, f"{WORKER_CONTAINER}/readinessProbe", {"httpGet": {"port": 8000}}),
    ),
    (
        containers.redis_probes_ask_what_they_decide,
        put(REDIS, f"{CONTAINER}/readinessProbe/exec/command", ["redis-cli", "ping"]),
    ),
    (
        containers.redis_probes_ask_what_they_decide,
        put(REDIS, f"{CONTAINER}/livenessProbe/exec/command", ["/bin/sh", "/etc/redis/ready.sh"]),
    ),
    (
        containers.redis_probes_ask_what_they_decide,
        put(
            REDIS,
            f"{CONTAINER}/startupProbe/exec/command/2",
            'test "$(redis-cli -h $POD_NAME.$SERVICE ping)" = PONG',
        ),
    ),
    (containers.containers_have_no_rights, put(REDIS, f"{POD}/securityContext/runAsNonRoot", ...)),
    (containers.containers_have_no_rights, put(REDIS, f"{POD}/securityContext/seccompProfile", {})),
    (containers.containers_have_no_rights, put(REDIS, f"{POD}/hostNetwork", True)),
    (containers.containers_have_no_rights, put(SERVICE, f"{HEAD_CONTAINER}/securityContext", {})),
    (
        containers.containers_have_no_rights,
        put(SERVICE, f"{WORKER_CONTAINER}/securityContext/readOnlyRootFilesystem", False),
    ),
    (
        containers.containers_have_no_rights,
        put(SERVICE, f"{WORKER_CONTAINER}/securityContext/capabilities/drop", ["NET_RAW"]),
    ),
    (containers.no_token_is_mounted, put(REDIS, f"{POD}/automountServiceAccountToken", ...)),
    (
        references.secrets_exist,
        put("Job/redis-bootstrap", f"{CONTAINER}/env/0/valueFrom/secretKeyRef/name", "redis"),
    ),
    (
        references.secrets_exist,
        put("Job/redis-bootstrap", f"{CONTAINER}/env/0/valueFrom/secretKeyRef/key", "pass"),
    ),
    (
        references.secrets_exist,
        put(SERVICE, f"{WORKER}/template/spec/volumes/1/secret/secretName", "kafka-ca"),
    ),
    (references.secrets_exist, without("KafkaUser/user-tags")),
    (
        references.config_maps_exist,
        put(SERVICE, f"{HEAD_CONTAINER}/envFrom/0/configMapRef/name", "ray-environment"),
    ),
    (references.mounts_have_volumes, put(REDIS, f"{CONTAINER}/volumeMounts/0/name", "dada")),
    (references.mounts_have_volumes, put(SERVICE, f"{WORKER}/template/spec/volumes", [])),
    (references.accounts_exist, put(REDIS, f"{POD}/serviceAccountName", "redis")),
    (references.accounts_exist, add(BINDING)),
    (
        references.storage_classes_exist,
        put("KafkaNodePool/broker", "spec/storage/volumes/0/class", "standard"),
    ),
    (
        references.storage_classes_exist,
        put(REDIS, "spec/volumeClaimTemplates/0/spec/storageClassName", ...),
    ),
    (
        references.storage_classes_exist,
        put("StorageClass/user-tags-local", "reclaimPolicy", "Delete"),
    ),
    (
        references.storage_classes_exist,
        put("StorageClass/user-tags-local", "volumeBindingMode", "Immediate"),
    ),
    (references.everything_is_in_the_namespace, put(REDIS, "metadata/namespace", "default")),
    (
        references.addresses_lead_somewhere,
        in_settings("TAGS_KAFKA_BOOTSTRAP", "kafka-kafka-bootstrap:9092"),
    ),
    (references.addresses_lead_somewhere, in_settings("TAGS_MYSQL_HOST", "mysql")),
    (references.addresses_lead_somewhere, put(REDIS, "spec/replicas", 8)),
    (
        references.addresses_lead_somewhere,
        put(SERVICE, f"{CLUSTER}/gcsFaultToleranceOptions/redisAddress", "redis:6380"),
    ),
    (
        references.ca_files_are_mounted,
        put(SERVICE, f"{HEAD_CONTAINER}/volumeMounts/1/mountPath", "/etc/kafka"),
    ),
    (
        selectors.selectors_find_pods,
        put("Service/redis", "spec/selector", {"app.kubernetes.io/name": "rediss"}),
    ),
    (
        selectors.selectors_find_pods,
        put("PodMonitor/kafka", "spec/selector/matchLabels/strimzi.io~1name", "x"),
    ),
    (
        selectors.selectors_find_pods,
        put(
            "NetworkPolicy/redis",
            "spec/ingress/0/from/0/podSelector",
            {"matchLabels": {"app": "serve"}},
        ),
    ),
    (selectors.services_reach_ports, put("Service/redis", "spec/ports/0/targetPort", "rediss")),
    (selectors.stateful_sets_select_themselves, put(REDIS, "spec/serviceName", "redis-nodes")),
    (selectors.stateful_sets_select_themselves, put(REDIS, "spec/selector", {"matchLabels": {}})),
    (
        selectors.budgets_can_be_met,
        put("PodDisruptionBudget/user-tags-worker", "spec/minAvailable", 3),
    ),
    (
        selectors.budgets_can_be_met,
        put("PodDisruptionBudget/user-tags-worker", "spec/minAvailable", "50%"),
    ),
    (selectors.budgets_can_be_met, put("PodDisruptionBudget/redis", "spec/maxUnavailable", 0)),
    # As it was: the second Redis node, or the controller, of a drained host was never evicted.
    (selectors.budgets_can_be_met, put("PodDisruptionBudget/redis", "spec/maxUnavailable", 1)),
    (
        selectors.budgets_can_be_met,
        put("Kafka/kafka", "spec/kafka/template/podDisruptionBudget/maxUnavailable", 1),
    ),
    (
        selectors.budgets_can_be_met,
        put(MYSQL, "spec/proxy/haproxy/podDisruptionBudget/maxUnavailable", 0),
    ),
    (
        selectors.monitors_find_ports,
        put("PodMonitor/mysql-proxy", "spec/podMetricsEndpoints/0", {"portNumber": 8404}),
    ),
    (
        selectors.monitors_find_ports,
        put("PodMonitor/redis", "spec/podMetricsEndpoints/0/port", "exporter"),
    ),
    (
        selectors.stores_are_spread,
        put(
            "KafkaNodePool/broker",
            "spec/template/pod/affinity/podAntiAffinity/"
            "requiredDuringSchedulingIgnoredDuringExecution",
            [],
        ),
    ),
    (selectors.stores_are_spread, put(MYSQL, "spec/mysql/affinity", ...)),
    (selectors.stores_are_spread, put(REDIS, f"{POD}/topologySpreadConstraints", ...)),
    (
        selectors.stores_are_spread,
        put(
            SERVICE,
            f"{WORKER}/template/spec/topologySpreadConstraints/0/labelSelector",
            {"matchLabels": {"app": "worker"}},
        ),
    ),
    (
        selectors.stores_are_spread,
        put(REDIS, f"{POD}/topologySpreadConstraints/0/nodeTaintsPolicy", ...),
    ),
    (
        selectors.stores_are_spread,
        put(REDIS, f"{POD}/topologySpreadConstraints/0/minDomains", 3),
    ),
    (selectors.stores_are_spread, put(REDIS, f"{POD}/topologySpreadConstraints/0/maxSkew", 1)),
    (selectors.stores_come_first, put(REDIS, f"{POD}/priorityClassName", ...)),
    (selectors.stores_come_first, put(MYSQL, "spec/proxy/haproxy/priorityClassName", ...)),
    (
        selectors.stores_come_first,
        put("KafkaNodePool/broker", "spec/template/pod/priorityClassName", "none"),
    ),
    (selectors.stores_come_first, without("PriorityClass/user-tags-store")),
    (selectors.policies_deny_by_default, without("NetworkPolicy/default-deny")),
    (selectors.policies_deny_by_default, put("NetworkPolicy/redis", "spec/ingress", [{}])),
    (selectors.policies_deny_by_default, without("NetworkPolicy/mysql-schema")),
    (policies.connections_are_allowed_as_needed, without("NetworkPolicy/redis")),
    (policies.connections_are_allowed_as_needed, put("NetworkPolicy/serve", "spec/egress", [])),
    (
        policies.connections_are_allowed_as_needed,
        put("NetworkPolicy/serve", "spec/egress/3/ports/0/port", 9092),
    ),
    # Either side's policy alone would still stop it.
    (
        policies.connections_are_allowed_as_needed,
        both(
            put("NetworkPolicy/redis", "spec/ingress/0/ports", []),
            put("NetworkPolicy/serve", "spec/egress/2/ports", []),
        ),
    ),
    (
        policies.operators_pods_reach_the_api_server,
        put("NetworkPolicy/kafka-nodes", "spec/egress/1", ...),
    ),
    (
        policies.operators_pods_reach_the_api_server,
        put("NetworkPolicy/serve", "spec/egress/0", {"ports": [{"port": 443}]}),
    ),
    (ray_service.kuberay_takes_it, put(SERVICE, "metadata/name", "user_tags")),
    (ray_service.kuberay_takes_it, put(SERVICE, "metadata/name", "u" * 42)),
    (
        ray_service.kuberay_takes_it,
        put(SERVICE, "metadata/annotations", {"ray.io/initializing-timeout": "soon"}),
    ),
    (ray_service.kuberay_takes_it, put(SERVICE, "spec/upgradeStrategy/type", "Rolling")),
    (
        ray_service.kuberay_takes_it,
        put(SERVICE, "spec/upgradeStrategy/type", "NewClusterWithIncrementalUpgrade"),
    ),
    (ray_service.kuberay_takes_it, put(SERVICE, "spec/rayClusterDeletionDelaySeconds", -1)),
    (
        ray_service.kuberay_takes_it,
        put(SERVICE, f"{HEAD}/headService", {"metadata": {"name": "head"}}),
    ),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{HEAD}/template/spec/containers", [])),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{WORKER}/resources", {"cpu": "4"})),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{HEAD}/rayStartParams/labels", "a=b")),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{HEAD}/rayStartParams/num-cpus", 0)),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{HEAD}/rayStartParams/redis-password", "x")),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{HEAD}/rayStartParams/redis-username", "x")),
    (
        ray_service.kuberay_takes_it,
        put(SERVICE, f"{HEAD_CONTAINER}/env/0", {"name": "REDIS_PASSWORD", "value": "x"}),
    ),
    (
        ray_service.kuberay_takes_it,
        put(SERVICE, f"{HEAD_CONTAINER}/env/0", {"name": "RAY_enable_autoscaler_v2", "value": "1"}),
    ),
    (
        ray_service.kuberay_takes_it,
        put(SERVICE, "metadata/annotations", {"ray.io/ft-enabled": "true"}),
    ),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{WORKER}/suspend", True)),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{CLUSTER}/rayVersion", "2.51.0")),
    (ray_service.kuberay_takes_it, put(SERVICE, f"{CLUSTER}/rayVersion", "nightly")),
    (ray_service.traps_are_avoided, put(SERVICE, "spec/upgradeStrategy", ...)),
    (ray_service.traps_are_avoided, put(SERVICE, "spec/excludeHeadPodFromServeSvc", False)),
    (ray_service.traps_are_avoided, put(SERVICE, f"{HEAD}/rayStartParams/num-cpus", "2")),
    (ray_service.traps_are_avoided, put(SERVICE, f"{CLUSTER}/authOptions", ...)),
    (ray_service.traps_are_avoided, put(SERVICE, f"{CLUSTER}/gcsFaultToleranceOptions", ...)),
    (
        ray_service.traps_are_avoided,
        put(SERVICE, f"{CLUSTER}/gcsFaultToleranceOptions/externalStorageNamespace", "tags"),
    ),
    (ray_service.traps_are_avoided, put(SERVICE, f"{WORKER_CONTAINER}/ports/1/name", "http")),
    (ray_service.traps_are_avoided, put(SERVICE, f"{WORKER_CONTAINER}/envFrom", [])),
    (ray_service.traps_are_avoided, put(SERVICE, f"{WORKER_CONTAINER}/command", ["sleep"])),
    (ray_service.requests_need_no_single_host, put(SERVICE, f"{WORKER_CONTAINER}/env", [])),
    (
        ray_service.requests_need_no_single_host,
        put(SERVICE, "spec/serveService/spec/externalTrafficPolicy", "Cluster"),
    ),
    (
        ray_service.requests_need_no_single_host,
        in_serve_config(lambda c: c["applications"][1]["deployments"][1].pop("num_replicas")),
    ),
    *(
        (ray_service.requests_need_no_single_host, in_settings(name, value))
        for name, value in (
            *((name, "120000") for name in ray_service.KEEPALIVE),
            (ray_service.PATIENCE, "30"),
        )
    ),
    (
        ray_service.requests_need_no_single_host,
        in_serve_config(
            lambda c: c["applications"][1]["deployments"][2].pop("max_replicas_per_node")
        ),
    ),
    (ray_service.workers_end_in_time, put(SERVICE, f"{WORKER}/replicas", 1)),
    (ray_service.workers_end_in_time, put(SERVICE, f"{WORKER_CONTAINER}/lifecycle", ...)),
    (
        ray_service.workers_end_in_time,
        put(SERVICE, f"{WORKER_CONTAINER}/lifecycle/preStop/exec/command", ["sleep", "35"]),
    ),
    (
        ray_service.workers_end_in_time,
        put(SERVICE, f"{WORKER}/template/spec/terminationGracePeriodSeconds", 60),
    ),
    (ray_service.replicas_fit_the_workers, put(SERVICE, f"{WORKER}/replicas", 4)),
    (
        ray_service.replicas_fit_the_workers,
        in_serve_config(lambda c: c["applications"][1]["args"].update(partitions=4)),
    ),
    (
        ray_service.replicas_fit_the_workers,
        put(SERVICE, f"{WORKER}/rayStartParams/num-cpus", "0.2"),
    ),
    (
        ray_service.replicas_fit_the_workers,
        in_serve_config(lambda config: config.update(proxy_location="HeadOnly")),
    ),
    (
        ray_service.replicas_fit_the_workers,
        in_serve_config(lambda c: c["applications"][0]["deployments"][0].update(num_replicas=2)),
    ),
    (
        ray_service.replicas_fit_the_workers,
        in_serve_config(
            lambda c: c["applications"][0]["deployments"][0].pop("max_replicas_per_node")
        ),
    ),
    (
        ray_service.replicas_fit_the_workers,
        in_serve_config(
            lambda c: c["applications"][0]["deployments"][0].update(max_surge_percent=33)
        ),
    ),
    (
        ray_service.numbers_of_pods_agree,
        put("PodDisruptionBudget/user-tags-worker", "spec/minAvailable", 1),
    ),
    (ray_service.numbers_of_pods_agree, put(SERVICE, f"{WORKER}/replicas", 4)),
    (
        ray_service.numbers_of_pods_agree,
        put("PrometheusRule/user-tags", "spec/groups/0/rules/0/expr", "sum(up) < 4"),
    ),
    (ray_service.numbers_of_pods_agree, put(REDIS, "spec/replicas", 8)),
    (
        serve_config.serve_config_is_valid,
        in_serve_config(lambda c: c["applications"][0].update(import_path="serve_app.ap:build")),
    ),
    (
        serve_config.serve_config_is_valid,
        in_serve_config(lambda c: c["applications"][0].update(import_path="serve_app.app:make")),
    ),
    (
        serve_config.serve_config_is_valid,
        in_serve_config(lambda c: c["applications"][1].update(route_prefix="/")),
    ),
    (
        serve_config.serve_config_is_valid,
        in_serve_config(lambda c: c["applications"][0]["deployments"][0].update(num_replica=3)),
    ),
    (
        serve_config.serve_config_is_valid,
        in_serve_config(
            lambda c: c["applications"][0].update(
                runtime_env={"working_dir": "https://example.com/code.zip"}
            )
        ),
    ),
    (kafka.topics_agree_with_setup, put("KafkaTopic/user-tags", "spec/topicName", ...)),
    (kafka.topics_agree_with_setup, put("KafkaTopic/user-tags", "spec/partitions", 6)),
    (kafka.topics_agree_with_setup, put("KafkaTopic/dead-letters", "spec/partitions", 3)),
    (
        kafka.topics_agree_with_setup,
        put("KafkaTopic/user-tags", "spec/config/retention.ms", "3600000"),
    ),
    (kafka.topics_agree_with_setup, without("KafkaTopic/dead-letters")),
    (
        kafka.topics_agree_with_setup,
        in_serve_config(lambda c: c["applications"][1]["args"].update(partitions=6)),
    ),
    (kafka.losing_a_broker_loses_nothing, put("KafkaTopic/user-tags", "spec/replicas", 2)),
    (kafka.losing_a_broker_loses_nothing, put("KafkaNodePool/broker", "spec/replicas", 2)),
    (
        kafka.losing_a_broker_loses_nothing,
        put("KafkaTopic/user-tags", "spec/config/min.insync.replicas", "1"),
    ),
    (
        kafka.losing_a_broker_loses_nothing,
        put("KafkaTopic/user-tags", "spec/config/unclean.leader.election.enable", "true"),
    ),
    (
        kafka.losing_a_broker_loses_nothing,
        put("Kafka/kafka", "spec/kafka/config/auto.create.topics.enable", True),
    ),
    (kafka.losing_a_broker_loses_nothing, put("Kafka/kafka", "spec/kafka/listeners/0/tls", False)),
    (kafka.losing_a_broker_loses_nothing, put("KafkaNodePool/controller", "spec/replicas", 2)),
    (
        kafka.the_user_may_what_it_needs,
        put("KafkaUser/user-tags", "spec/authorization/acls/0", acl("user_tags", ["Read"])),
    ),
    (
        kafka.the_user_may_what_it_needs,
        put("KafkaUser/user-tags", "spec/authorization/acls/0", acl("user_tags", ["All"])),
    ),
    (
        mysql.options_of_plugins_are_loose,
        put(MYSQL, "spec/mysql/configuration", "[mysqld]\ngroup_replication_consistency = AFTER\n"),
    ),
    (stages.stages_are_right, put(REDIS, "metadata/labels/user-tags.io~1stage", "jobs")),
    # As it was: the jobs waited for the settings, and up.sh for the jobs.
    (stages.config_maps_come_first, settings_in_stage("app")),
]


@pytest.mark.parametrize(
    ("rule", "damage"),
    BROKEN,
    ids=[f"{rule.__name__}-{number}" for number, (rule, _) in enumerate(BROKEN)],
)
def test_rule_bites(rule: Rule, damage: Damage) -> None:
    documents = rendered("prod")

    damage(documents)

    assert rule(documents)


def test_every_rule_is_broken_at_least_once() -> None:
    assert {rule for rule, _ in BROKEN} == {*RULES, *RULES_OF_OPERATORS}
