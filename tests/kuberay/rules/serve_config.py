"""The Serve config in the RayService: Ray's own schema takes it, and what it names can be found."""

import importlib
import importlib.util
from typing import Any

import yaml
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

from tests.kuberay.manifests import Document, of_kind


def serve_config_is_valid(documents: list[Document]) -> list[str]:
    """By ``ServeDeploySchema``, as the dashboard applies it; and the import paths import."""
    found = []
    for service in of_kind(documents, "RayService"):
        config: Any = yaml.safe_load(service["spec"]["serveConfigV2"])
        try:
            schema = ServeDeploySchema.model_validate(config)
        except ValueError as error:
            found.append(f"Ray refuses the Serve config: {error}")
            continue
        found += _unknown_fields(config)
        for application in schema.applications:
            module, _, attribute = application.import_path.partition(":")
            if importlib.util.find_spec(module) is None:
                found.append(f"{application.name}: no module {module}")
            elif not hasattr(importlib.import_module(module), attribute):
                found.append(f"{application.name}: {module} has no {attribute}")
            if application.runtime_env:
                found.append(f"{application.name}: the code is in the image, not in a runtime_env")
        routes = [application.route_prefix for application in schema.applications]
        if len(set(routes)) != len(routes):
            found.append(f"two applications share a route: {routes}")
    return found


def _unknown_fields(config: Any) -> list[str]:
    """Ray ignores a field that it does not know, so a misspelt one would keep its default."""
    found = [name for name in config if name not in ServeDeploySchema.model_fields]
    for application in config["applications"]:
        found += [name for name in application if name not in ServeApplicationSchema.model_fields]
        for deployment in application.get("deployments", []):
            found += [name for name in deployment if name not in DeploymentSchema.model_fields]
    return [f"Ray knows no field {name}" for name in found]
