"""What every cluster has besides Kubernetes' own processes: names, storage, KubeRay's operator.

Manifests of the last two are those of their Go modules.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kuberay.cluster.control_plane import ControlPlane
from tests.kuberay.crd_schema import CRDS

HERE: Final = Path(__file__).parent
MODULES: Final = HERE / "modules"
FIRST_LABEL: Final = "user-tags.io/test=first"
"""Of the first node, which no test takes away: what a test needs runs there."""
_ON_FIRST: Final = {"nodeSelector": dict([FIRST_LABEL.split("=")])}


def install(plane: ControlPlane, volumes: Mapping[str, Path]) -> None:
    """Returns when all of it is ready. ``volumes``: of each node, where its volumes are."""
    plane.kubectl("label", "node", plane.node.name, FIRST_LABEL)
    plane.kubectl("apply", "-f", str(HERE / "manifests" / "coredns.yaml"))
    _apply(plane, "local-path", _local_path(volumes))
    operator = operator_sources() / "config"
    for crd in (*CRDS.glob("kuberay-*.yaml"), operator / "crd" / "bases" / "ray.io_rayjobs.yaml"):
        # Client-side, the annotation of what was applied would be too long.
        plane.kubectl("apply", "--server-side", "-f", str(crd))
    _apply(plane, "kuberay", _kuberay(operator))
    for namespace, name in (
        ("kube-system", "coredns"),
        ("local-path-storage", "local-path-provisioner"),
        ("kuberay-system", "kuberay-operator"),
    ):
        plane.kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=300s")


def operator_sources() -> Path:
    """Of KubeRay's operator."""
    return _sources("kuberay-operator", "github.com/ray-project/kuberay/ray-operator")


def _sources(name: str, path: str) -> Path:
    """Where Go keeps those of module ``path``, in the version of modules/NAME/go.mod."""
    command = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", path]
    listed = subprocess.run(command, cwd=MODULES / name, capture_output=True, text=True, check=True)
    return Path(listed.stdout.strip())


def _local_path(volumes: Mapping[str, Path]) -> dict[str, Any]:
    sources = _sources("local-path-provisioner", "github.com/rancher/local-path-provisioner")
    places = [{"node": node, "paths": [str(path)]} for node, path in volumes.items()]
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-path-config", "namespace": "local-path-storage"},
        "data": {"config.json": json.dumps({"nodePathMap": places})},
    }
    return {
        "resources": [str(sources / "deploy" / "local-path-storage.yaml")],
        "patches": [{"patch": yaml.safe_dump(settings)}, _deployment_patch()],
    }


def _kuberay(operator: Path) -> dict[str, Any]:
    return {
        "namespace": "kuberay-system",
        "resources": [str(operator / "rbac"), str(operator / "manager")],
        "images": [
            {"name": "kuberay/operator", "newName": "quay.io/kuberay/operator", "newTag": "v1.5.0"}
        ],
        "patches": [_deployment_patch()],
    }


def _deployment_patch() -> dict[str, Any]:
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "any"},
        "spec": {"template": {"spec": _ON_FIRST}},
    }
    return {"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(patch)}


def _apply(plane: ControlPlane, name: str, kustomization: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix=name) as made:
        # Kustomize takes no absolute path, and resolves links first.
        folder = Path(made).resolve()
        resources = [
            os.path.relpath(Path(path).resolve(), folder) for path in kustomization["resources"]
        ]
        text = yaml.safe_dump({**kustomization, "resources": resources})
        (folder / "kustomization.yaml").write_text(text)
        documents = plane.kubectl("kustomize", "--load-restrictor=LoadRestrictionsNone", made)
    if namespace := kustomization.get("namespace"):
        plane.kubectl("create", "namespace", namespace)
    plane.kubectl("apply", "-f", "-", text=documents)
