"""What kustomize makes of an overlay, as plain documents."""

import copy
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

Document = dict[str, Any]

CHECKOUT: Final = Path(__file__).resolve().parents[2]
OPERATED: Final = ("prod", "kind")
"""Overlays whose Kafka and MySQL are made by operators."""
OVERLAYS: Final = (*OPERATED, "plain")
SENTINEL: Final = "prod+gcs-redis-sentinel"
"""An overlay with a component that one may add to it."""
RAY_SERVICE: Final = "RayService"
UNITS: Final = {"m": Decimal("0.001"), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "": Decimal(1)}


@functools.cache
def _rendered(overlay: str) -> list[Document]:
    kuberay = CHECKOUT / "kuberay"
    name, _, component = overlay.partition("+")
    if not component:
        return kustomized(kuberay / "overlays" / name)
    with tempfile.TemporaryDirectory() as folder:
        here = os.path.relpath(kuberay, Path(folder).resolve())
        (Path(folder) / "kustomization.yaml").write_text(
            f"resources: [{here}/overlays/{name}]\ncomponents: [{here}/components/{component}]\n"
        )
        return kustomized(Path(folder))


def kustomized(folder: Path) -> list[Document]:
    """What the folder's kustomization makes."""
    tool = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    made = subprocess.run([*tool, str(folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return [document for document in yaml.load_all(made.stdout, yaml.CSafeLoader) if document]


def rendered(overlay: str) -> list[Document]:
    """The documents of an overlay, or of ``overlay+component``; a copy of one's own."""
    return copy.deepcopy(_rendered(overlay))


def kustomize_is_there() -> bool:
    """Whether kubectl or kustomize is on PATH."""
    return bool(shutil.which("kubectl") or shutil.which("kustomize"))


def name_of(document: Document) -> str:
    """``Kind/name``."""
    return f"{document['kind']}/{document['metadata']['name']}"


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    """Documents of any of the kinds, in order."""
    return [document for document in documents if document["kind"] in kinds]


def named(documents: list[Document], kind_and_name: str) -> Document:
    """The document ``Kind/name``; LookupError if there is none."""
    for document in documents:
        if name_of(document) == kind_and_name:
            return document
    raise LookupError(kind_and_name)


def pod_templates(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Every pod template of ours with its place: ``StatefulSet/redis``, ``RayService/… head``."""
    for document in documents:
        if document["kind"] in ("StatefulSet", "Deployment", "Job"):
            yield name_of(document), document["spec"]["template"]
        elif document["kind"] == "CronJob":
            yield name_of(document), document["spec"]["jobTemplate"]["spec"]["template"]
        elif document["kind"] == RAY_SERVICE:
            cluster = document["spec"]["rayClusterConfig"]
            yield f"{name_of(document)} head", cluster["headGroupSpec"]["template"]
            for group in cluster["workerGroupSpecs"]:
                yield f"{name_of(document)} {group['groupName']}", group["template"]


def percona_pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """What Percona's operator is told of its servers' pods and of those of their proxy."""
    for mysql in of_kind(documents, "PerconaServerMySQL"):
        yield "mysql", mysql["spec"]["mysql"]
        yield "mysql-proxy", mysql["spec"]["proxy"]["haproxy"]


def containers(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Every container of ours, those for initialisation too, with its place."""
    for place, template in pod_templates(documents):
        spec = template["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{place} {container['name']}", container


def amount(quantity: object) -> Decimal:
    """Of a quantity as Kubernetes writes it: processors, or bytes."""
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", str(quantity))
    assert match, quantity
    return int(match[1]) * UNITS[match[2]]
