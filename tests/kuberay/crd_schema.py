"""The schema of a custom resource as a JSON Schema, and what the API server does before it applies.

How: shared/crds/README.md. An API server prunes unknown fields silently, or refuses them when asked
to be strict; here they are errors.
"""

import functools
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

from tests.kuberay.manifests import CHECKOUT, Document

CRDS: Final = CHECKOUT.parent / "shared" / "crds"

Schema = dict[str, Any]


@functools.cache
def schemas() -> dict[tuple[str, str], Schema]:
    """Raw schemas by (apiVersion, kind)."""
    found: dict[tuple[str, str], Schema] = {}
    for path in sorted(CRDS.glob("*.yaml")):
        found.update(_schemas_of(path))
    return found


def _schemas_of(path: Path) -> dict[tuple[str, str], Schema]:
    with path.open() as file:
        documents = [d for d in yaml.load_all(file, yaml.CSafeLoader) if d]
    return {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): version[
            "schema"
        ]["openAPIV3Schema"]
        for crd in documents
        if crd["kind"] == "CustomResourceDefinition"
        for version in crd["spec"]["versions"]
        if version["served"]
    }


def problems(document: Document) -> list[str]:
    """What the API server would say of the document; empty if it would take it.

    KeyError if no CRD defines its kind.
    """
    schema = schemas()[document["apiVersion"], document["kind"]]
    ready = _with_defaults(schema, _without_nulls(document))
    validator = _validator(document["apiVersion"], document["kind"])
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in validator.iter_errors(ready)
    ]


@functools.cache
def _validator(api_version: str, kind: str) -> jsonschema.Draft202012Validator:
    schema = _as_json_schema(schemas()[api_version, kind])
    # The API server has a schema of its own for these.
    schema["properties"].update(
        apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
    )
    return jsonschema.Draft202012Validator(schema)


def _as_json_schema(schema: Schema) -> Schema:
    made: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: _as_json_schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties", "not") and isinstance(value, dict):
            made[key] = _as_json_schema(value)
        elif key in ("allOf", "anyOf", "oneOf"):
            made[key] = [_as_json_schema(inner) for inner in value]
        elif not key.startswith("x-") and key not in ("nullable", "description", "default"):
            made[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    open_ended = (
        schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("x-kubernetes-embedded-resource")
        or "additionalProperties" in schema
    )
    if schema.get("type") == "object" and "properties" in schema and not open_ended:
        made["additionalProperties"] = False
    return made


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _with_defaults(schema: Schema, value: Any) -> Any:
    if isinstance(value, dict):
        filled = {
            name: _with_defaults(schema.get("properties", {}).get(name, {}), inner)
            for name, inner in value.items()
        }
        for name, inner in schema.get("properties", {}).items():
            if name not in filled and "default" in inner:
                filled[name] = inner["default"]
        return filled
    if isinstance(value, list):
        return [_with_defaults(schema.get("items", {}), inner) for inner in value]
    return value
