"""What is referred to exists: config maps, secrets, keys, accounts, classes, ports, topics."""

from collections.abc import Iterator
from typing import Any, Final

from tests.kuberay.manifests import (
    Document,
    containers,
    name_of,
    named,
    of_kind,
    pod_templates,
)

GENERATED_SECRETS: Final = {
    # By setup/kubernetes/secrets.sh.
    "redis-auth": {"password"},
    "gcs-redis-auth": {"password"},
    "mysql-tags": {"password"},
    "api-token": {"password"},
    "redis-tls": {"ca.crt", "tls.crt", "tls.key"},
}


GENERATED_WITHOUT_OPERATORS: Final = {
    "user-tags": {"password"},
    "mysql-secrets": {"root"},
    "kafka-cluster-ca-cert": {"ca.crt", "tls.crt", "tls.key"},
    "mysql-ssl": {"ca.crt", "tls.crt", "tls.key"},
}


def secrets(documents: list[Document]) -> dict[str, set[str]]:
    """Secrets that up.sh or an operator makes, with their keys."""
    generated = dict(GENERATED_SECRETS)
    if not of_kind(documents, "Kafka"):
        generated |= GENERATED_WITHOUT_OPERATORS
    found = {name: set(keys) for name, keys in generated.items()}
    for kafka in of_kind(documents, "Kafka"):
        found[f"{kafka['metadata']['name']}-cluster-ca-cert"] = {"ca.crt", "ca.p12", "ca.password"}
    for user in of_kind(documents, "KafkaUser"):
        found[user["metadata"]["name"]] = {"password", "sasl.jaas.config"}
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        found[mysql["spec"]["secretsName"]] = {"root", "operator", "monitor", "replication"}
        found[mysql["spec"]["sslSecretName"]] = {"ca.crt", "tls.crt", "tls.key"}
    return found


def secrets_exist(documents: list[Document]) -> list[str]:
    """By environment variables and by volumes, down to the key."""
    there, found = secrets(documents), []
    for document in documents:
        for name, keys in _secret_references(document):
            if name not in there:
                found.append(f"{name_of(document)}: nobody makes secret {name}")
            else:
                found += [
                    f"{name_of(document)}: secret {name} has no key {key}"
                    for key in keys - there[name]
                ]
    return found


def _secret_references(value: Any) -> Iterator[tuple[str, set[str]]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "secretKeyRef":
                yield inner["name"], {inner["key"]}
            elif key == "secret" and isinstance(inner, dict) and "secretName" in inner:
                yield inner["secretName"], {item["key"] for item in inner.get("items", [])}
            elif key == "secretRef":
                yield inner["name"], set()
            else:
                yield from _secret_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_references(inner)


def config_maps_exist(documents: list[Document]) -> list[str]:
    """By environment and by volumes."""
    there = {document["metadata"]["name"] for document in of_kind(documents, "ConfigMap")}
    return [
        f"{place}: there is no config map {name}"
        for place, template in pod_templates(documents)
        for name in sorted(config_map_names(template) - there)
    ]


def config_map_names(template: Document) -> set[str]:
    """Config maps that a pod template takes its environment or a volume from."""
    spec = template["spec"]
    names = {
        source["configMapRef"]["name"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        for source in container.get("envFrom", [])
        if "configMapRef" in source
    }
    return names | {
        volume["configMap"]["name"] for volume in spec.get("volumes", []) if "configMap" in volume
    }


def mounts_have_volumes(documents: list[Document]) -> list[str]:
    """And every volume is mounted by someone. KubeRay drops a mount without volume silently."""
    claims = {
        name_of(document): {c["metadata"]["name"] for c in document["spec"]["volumeClaimTemplates"]}
        for document in of_kind(documents, "StatefulSet")
    }
    found = []
    for place, template in pod_templates(documents):
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims.get(place, set())
        mounted = {
            mount["name"]
            for container in [*spec.get("initContainers", []), *spec["containers"]]
            for mount in container.get("volumeMounts", [])
        }
        found += [f"{place}: no volume {name} to mount" for name in sorted(mounted - volumes)]
        found += [f"{place}: nobody mounts volume {name}" for name in sorted(volumes - mounted)]
    return found


def accounts_exist(documents: list[Document]) -> list[str]:
    """And no role binding gives them anything."""
    there = {document["metadata"]["name"] for document in of_kind(documents, "ServiceAccount")}
    found = [
        f"{place}: no service account {template['spec'].get('serviceAccountName')}"
        for place, template in pod_templates(documents)
        if template["spec"].get("serviceAccountName") not in there
    ]
    bindings = of_kind(documents, "RoleBinding", "ClusterRoleBinding")
    return found + [f"{name_of(binding)}: gives rights that no pod uses" for binding in bindings]


def storage_classes_exist(documents: list[Document]) -> list[str]:
    """Every claim names our class, which keeps the data."""
    classes = {
        document["metadata"]["name"]: document for document in of_kind(documents, "StorageClass")
    }
    found = []
    for document in documents:
        for name in _storage_classes(document):
            if name not in classes:
                found.append(f"{name_of(document)}: no storage class {name}")
    for name, document in classes.items():
        if document.get("reclaimPolicy") != "Retain":
            found.append(f"StorageClass/{name}: a deleted claim would take its data along")
        if document.get("volumeBindingMode") != "WaitForFirstConsumer":
            found.append(f"StorageClass/{name}: a volume would choose the pod's node")
    return found


def _storage_classes(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") == "persistent-claim":
            yield value.get("class", "(the default)")
        if "accessModes" in value:
            yield value.get("storageClassName", "(the default)")
        for inner in value.values():
            yield from _storage_classes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _storage_classes(inner)


def everything_is_in_the_namespace(documents: list[Document]) -> list[str]:
    """Nothing lands in whatever namespace the context has."""
    cluster_wide = {"Namespace", "StorageClass", "PriorityClass"}
    return [
        f"{name_of(document)}: is in namespace {document['metadata'].get('namespace')}"
        for document in documents
        if document["kind"] not in cluster_wide
        and document["metadata"].get("namespace") != "user-tags"
    ]


def addresses_lead_somewhere(documents: list[Document]) -> list[str]:
    """Hosts and ports of the settings are those of services that somebody makes."""
    settings = _settings(documents)
    redis = named(documents, "StatefulSet/redis")
    service = redis["spec"]["serviceName"]
    wanted_nodes = ",".join(
        f"redis-{index}.{service}.user-tags.svc.cluster.local:6379"
        for index in range(redis["spec"]["replicas"])
    )
    gcs = of_kind(documents, "RayService")[0]["spec"]["rayClusterConfig"]
    gcs_address = gcs["gcsFaultToleranceOptions"]["redisAddress"]
    services = _services(documents)
    users = {user["metadata"]["name"] for user in of_kind(documents, "KafkaUser")}
    mysql_address = f"{settings['TAGS_MYSQL_HOST']}:{settings['TAGS_MYSQL_PORT']}"
    checks = {
        "TAGS_KAFKA_BOOTSTRAP": settings["TAGS_KAFKA_BOOTSTRAP"] in services,
        "TAGS_MYSQL_HOST": mysql_address in services,
        "TAGS_REDIS_NODES": settings["TAGS_REDIS_NODES"] == wanted_nodes,
        # Without an operator it is start.sh of overlay plain that makes the user.
        "TAGS_KAFKA_USERNAME": settings["TAGS_KAFKA_USERNAME"] in (users or {"user-tags"}),
        "redisAddress of the GCS": gcs_address in services,
    }
    return [f"{name} leads nowhere" for name, right in checks.items() if not right]


def _services(documents: list[Document]) -> set[str]:
    """``name:port`` of our services and of those that the operators make."""
    found = {
        f"{document['metadata']['name']}:{port['port']}"
        for document in of_kind(documents, "Service")
        for port in document["spec"]["ports"]
    }
    for kafka in of_kind(documents, "Kafka"):
        for listener in kafka["spec"]["kafka"]["listeners"]:
            found.add(f"{kafka['metadata']['name']}-kafka-bootstrap:{listener['port']}")
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        found.add(f"{mysql['metadata']['name']}-haproxy:3306")
    return found


def ca_files_are_mounted(documents: list[Document]) -> list[str]:
    """Whoever is given the password of a store has its CA where the settings say."""
    settings, found = _settings(documents), []
    stores = {"KAFKA": "TAGS_KAFKA_PASSWORD", "REDIS": "TAGS_REDIS_PASSWORD"}
    stores["MYSQL"] = "TAGS_MYSQL_PASSWORD"
    for place, container in containers(documents):
        variables = {variable["name"] for variable in container.get("env", [])}
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        for store, password in stores.items():
            folder = settings[f"TAGS_{store}_CA_FILE"].rpartition("/")[0]
            if password in variables and folder not in paths:
                found.append(f"{place}: {folder} is not mounted")
    return found


def _settings(documents: list[Document]) -> dict[str, str]:
    for document in of_kind(documents, "ConfigMap"):
        if document["metadata"]["name"].startswith("user-tags-settings"):
            data: dict[str, str] = document["data"]
            return data
    raise LookupError("user-tags-settings")
