"""What pods of overlay prod request of a host, against what the documents tell people to buy."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import yaml

from tests.kuberay.conftest import needs_kustomize
from tests.kuberay.manifests import CHECKOUT, UNITS, Document, amount, of_kind, rendered
from tests.kuberay.rules.selectors import HOSTS

pytestmark = needs_kustomize

VALUES: Final = CHECKOUT / "setup" / "kubernetes" / "values"
RESERVED_GIB: Final = 3
"""For the kernel and kubelet."""

Requests = Counter[str]


def requests(*resources: Mapping[str, Any]) -> Requests:
    """Processors and bytes of memory that all of them request."""
    total: Requests = Counter()
    for one in resources:
        for name in ("cpu", "memory"):
            total[name] += amount(one["requests"][name])  # type: ignore[assignment]
    return total


def of_pod(template: Document) -> Requests:
    return requests(*(container["resources"] for container in template["spec"]["containers"]))


def times(number: int, of: Requests) -> Requests:
    return Counter({name: number * value for name, value in of.items()})


def total(parts: Iterable[Requests]) -> Requests:
    return sum(parts, Counter())


def on_each_host(documents: list[Document]) -> Requests:
    """Of what is spread evenly over the hosts."""
    cluster = of_kind(documents, "RayService")[0]["spec"]["rayClusterConfig"]
    parts = [
        times(math.ceil(group["replicas"] / HOSTS), of_pod(group["template"]))
        for group in cluster["workerGroupSpecs"]
    ]
    for store in of_kind(documents, "StatefulSet"):
        if store["spec"]["replicas"] >= HOSTS:
            number = math.ceil(store["spec"]["replicas"] / HOSTS)
            parts.append(times(number, of_pod(store["spec"]["template"])))
    parts += [requests(pool["spec"]["resources"]) for pool in of_kind(documents, "KafkaNodePool")]
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        proxy = mysql["spec"]["proxy"]["haproxy"]
        parts.append(requests(mysql["spec"]["mysql"]["resources"], proxy["resources"]))
        parts.append(requests(*proxy["sidecarResources"].values()))
    return total(parts)


def on_one_host(documents: list[Document]) -> Requests:
    """Of what there is one of: in the worst case all of it is on the same host."""
    cluster = of_kind(documents, "RayService")[0]["spec"]["rayClusterConfig"]
    parts = [of_pod(cluster["headGroupSpec"]["template"])]
    parts += [
        of_pod(store["spec"]["template"])
        for store in of_kind(documents, "StatefulSet")
        if store["spec"]["replicas"] < HOSTS
    ]
    for kafka in of_kind(documents, "Kafka"):
        parts += [requests(one["resources"]) for one in kafka["spec"]["entityOperator"].values()]
    for path in sorted(VALUES.glob("*.yaml")):
        parts += requested_in(yaml.safe_load(path.read_text()))
    # Set-up jobs run one after the other.
    parts.append(of_pod(of_kind(documents, "Job")[0]["spec"]["template"]))
    return total(parts)


def requested_in(values: Mapping[str, Any]) -> Iterator[Requests]:
    """Of a chart's values, wherever they stand; volume claims request neither."""
    for name, value in values.items():
        if name == "resources" and "cpu" in value["requests"]:
            yield requests(value)
        elif isinstance(value, dict):
            yield from requested_in(value)


def during_an_upgrade(documents: list[Document]) -> Requests:
    """Of the second RayCluster, beside the first one's."""
    cluster = of_kind(documents, "RayService")[0]["spec"]["rayClusterConfig"]
    return total(
        [
            of_pod(cluster["headGroupSpec"]["template"]),
            *(of_pod(group["template"]) for group in cluster["workerGroupSpecs"]),
        ]
    )


def claimed_bytes(documents: list[Document]) -> Decimal:
    """Of all volumes that the fullest host has."""
    sizes = [Decimal(0)]
    for store in of_kind(documents, "StatefulSet"):
        number = math.ceil(store["spec"]["replicas"] / HOSTS)
        for claim in store["spec"]["volumeClaimTemplates"]:
            sizes.append(number * amount(claim["spec"]["resources"]["requests"]["storage"]))
    for pool in of_kind(documents, "KafkaNodePool"):
        sizes += [amount(volume["size"]) for volume in pool["spec"]["storage"]["volumes"]]
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        claim = mysql["spec"]["mysql"]["volumeSpec"]["persistentVolumeClaim"]
        sizes.append(amount(claim["resources"]["requests"]["storage"]))
    values = yaml.safe_load((VALUES / "kube-prometheus-stack.yaml").read_text())
    claim = values["prometheus"]["prometheusSpec"]["storageSpec"]["volumeClaimTemplate"]
    sizes.append(amount(claim["spec"]["resources"]["requests"]["storage"]))
    return sum(sizes, Decimal(0))


def test_an_upgrade_fits_the_machines_that_the_documents_ask_for() -> None:
    documents = rendered("prod")
    text = " ".join((CHECKOUT / "docs/kubernetes/README.md").read_text().split())
    match = re.search(r"three workers with (\d+) cores, (\d+) GiB and an (\d+) GB disk", text)
    assert match
    cores, memory_gib, disk_gb = map(int, match.groups())
    needed = on_each_host(documents) + on_one_host(documents) + during_an_upgrade(documents)

    assert needed["cpu"] <= cores - 1
    assert needed["memory"] / UNITS["Gi"] <= memory_gib - RESERVED_GIB
    # kubelet evicts pods below 15 % free; the system and images have the rest.
    assert claimed_bytes(documents) <= disk_gb * 10**9 * Decimal("0.80")


def test_the_table_of_requests_is_that_of_the_manifests() -> None:
    documents = rendered("prod")
    rows = [on_each_host(documents), on_one_host(documents), during_an_upgrade(documents)]
    text = (CHECKOUT / "docs/kubernetes/capacity.md").read_text().partition("## Three hosts")[2]
    table = re.findall(r"^\| .* \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)

    assert table == [
        (f"{row['cpu']:.1f}", f"{row['memory'] / UNITS['Gi']:.1f}") for row in (*rows, total(rows))
    ]


def test_the_room_for_a_second_ray_cluster_is_as_documented() -> None:
    cluster = of_kind(rendered("prod"), "RayService")[0]["spec"]["rayClusterConfig"]
    needed = of_pod(cluster["headGroupSpec"]["template"]) + total(
        times(group["replicas"], of_pod(group["template"])) for group in cluster["workerGroupSpecs"]
    )
    text = " ".join((CHECKOUT / "docs/kubernetes/upgrades.md").read_text().split())

    assert f"({needed['cpu']} CPUs, {needed['memory'] / UNITS['Gi']} GiB requested" in text
