"""The OpenAPI document: valid, whole, and true."""

import html
import importlib.metadata
import json
import re
import subprocess
import tomllib
from typing import Any

import jsonschema
import pytest

from serve_app import version
from setup.local.folder import CHECKOUT
from tests.fakes.http import BODY, EXAMPLE, Client

# The statuses that each endpoint can answer, from serve_app/core/errors.py and docs/contract.md.
STATUSES = {
    "/user_tags": {204, 400, 401, 405, 408, 413, 415, 422, 503, 504},
    "/user_profiles/{cookie}": {200, 400, 401, 405, 408, 422, 503},
    "/aggregates": {200, 400, 401, 405, 408, 422, 503},
}


async def document() -> dict[str, Any]:
    answer = await Client().request("GET", "/openapi.json")
    assert answer.status == 200
    content: dict[str, Any] = answer.json
    return content


def references(node: Any) -> set[str]:
    """Every ``$ref`` below ``node``."""
    if isinstance(node, dict):
        here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return here.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def schema_of(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A component as a schema that stands alone."""
    return {"$ref": f"#/components/schemas/{name}", "components": content["components"]}


async def test_the_document_has_what_openapi_asks_for() -> None:
    content = await document()
    assert content["openapi"].startswith("3.1")
    assert content["info"]["title"]
    assert content["info"]["version"]
    for path, item in content["paths"].items():
        for operation in item.values():
            assert operation["summary"]
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert status.isdigit(), path
                assert response["description"], path
            declared = [p for p in operation.get("parameters", ()) if p["in"] == "path"]
            assert {p["name"] for p in declared} == set(_placeholders(path))
            assert all(p["required"] for p in declared)
            for parameter in operation.get("parameters", ()):
                jsonschema.Draft202012Validator.check_schema(parameter["schema"])


def _placeholders(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


async def test_every_reference_leads_somewhere_and_schemas_are_valid() -> None:
    content = await document()
    for reference in references(content):
        place: Any = content
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    for schema in content["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("path", "statuses"), list(STATUSES.items()))
async def test_each_endpoint_lists_all_its_statuses(path: str, statuses: set[int]) -> None:
    responses = (await document())["paths"][path]["post"]["responses"]
    assert {int(status) for status in responses} == statuses
    for status in statuses:
        if status >= 400:
            assert list(responses[str(status)]["content"]) == ["application/problem+json"]
    assert "Retry-After" in responses["503"]["headers"]


async def test_the_parameters_are_the_contracts() -> None:
    paths = (await document())["paths"]

    def listed(path: str) -> dict[str, bool]:
        return {p["name"]: p["required"] for p in paths[path]["post"]["parameters"]}

    assert listed("/user_profiles/{cookie}") == {
        "cookie": True,
        "time_range": True,
        "limit": False,
    }
    assert listed("/aggregates") == {
        "time_range": True,
        "action": True,
        "aggregates": True,
        "origin": False,
        "brand_id": False,
        "category_id": False,
    }


async def test_the_tags_schema_agrees_with_the_decoder() -> None:
    client = Client()
    content = await document()
    validator = jsonschema.Draft202012Validator(schema_of(content, "UserTag"))
    changes: list[tuple[str, Any]] = [
        ("device", "PHONE"),
        ("action", "view"),
        ("cookie", ""),
        ("cookie", "x" * 129),
        ("time", "2022-03-01T00:00:00.649"),
        ("time", "2022-03-01T00:00:00.6Z"),
        ("time", "2022-03-01T00:00:01Z"),
        ("product_info", None),
        ("extra", 1),
    ]
    products = [("price", 2**31), ("price", -(2**31)), ("product_id", "a"), ("product_id", None)]
    bodies = [EXAMPLE | {name: value} for name, value in changes]
    bodies += [
        EXAMPLE | {"product_info": EXAMPLE["product_info"] | {name: value}}
        for name, value in products
    ]
    bodies += [{k: v for k, v in EXAMPLE.items() if k != name} for name in EXAMPLE]
    for body in [EXAMPLE, *bodies]:
        answer = await client.request("POST", "/user_tags", [json.dumps(body).encode()])
        assert (answer.status == 204) == validator.is_valid(body), body


async def test_answers_and_problems_fit_their_schemas() -> None:
    client = Client()
    content = await document()
    time_range = "time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
    for target, schema in (
        (f"/user_profiles/a?{time_range}", "ProfileAnswer"),
        (f"/aggregates?{time_range}&action=BUY&aggregates=COUNT", "AggregateAnswer"),
        ("/user_profiles/a", "Problem"),
        ("/nowhere", "Problem"),
    ):
        answer = await client.request("POST", target, [BODY])
        jsonschema.validate(answer.json, schema_of(content, schema))


async def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert (await document())["info"]["version"] == project["version"]
    answer = await Client().request("GET", "/version")
    assert answer.json["version"] == project["version"]
    responses = (await document())["paths"]["/version"]["get"]["responses"]
    jsonschema.validate(answer.json, responses["200"]["content"]["application/json"]["schema"])
    assert answer.json["commit"] == _head()
    assert answer.json["ray"] == importlib.metadata.version("ray")


def _head() -> str | None:
    command = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


async def test_a_store_that_does_not_tell_its_version_hides_no_other() -> None:
    async def away() -> str:
        raise ConnectionError

    async def there() -> str:
        return "7.0.15"

    stores = (await version.report({"mysql": away, "redis": there}))["stores"]
    assert stores == {"mysql": None, "redis": "7.0.15"}


@pytest.mark.parametrize(
    ("path", "content"), [("/docs", b"/openapi.json"), ("/", b"POST /user_tags")]
)
async def test_a_page_is_whole_without_the_internet(path: str, content: bytes) -> None:
    client = Client()
    page = await client.request("GET", path)
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert content in page.body
    text = page.body.decode()
    assert "://" not in text.replace("window.location.protocol + '//'", "")
    for target in re.findall(r"(?:src|href)=[\"'](/[^\"']+)", text):
        if not target.startswith("/case3/"):
            assert (await client.request("GET", target)).status == 200, target


async def test_the_example_on_the_landing_page_is_a_tag_that_is_taken() -> None:
    client = Client()
    page = (await client.request("GET", "/")).body.decode()
    (example,) = re.findall(r"<textarea[^>]*>([^<]+)</textarea>", page)
    assert json.loads(example) == EXAMPLE
    answer = await client.request("POST", "/user_tags", [html.unescape(example).encode()])
    assert answer.status == 204
