"""The OpenAPI document: FastAPI's own, with the three endpoints that do not pass through it."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve_app.core.answer import AggregateAnswer, ProfileAnswer
from serve_app.core.query import AGGREGATES, DEFAULT_LIMIT, MAX_RANGE_MINUTES
from serve_app.core.tag import ACTIONS, DEVICES, MAX_BODY_BYTES, MAX_NAME_LENGTH, UserTag

EXAMPLE_TAG: Final = {
    "time": "2022-03-01T00:00:00.649Z",
    "cookie": "9WkYGxkiXBfpMIjBGURC",
    "country": "CL",
    "device": "MOBILE",
    "action": "VIEW",
    "origin": "CAMPAIGN_321",
    "product_info": {
        "product_id": 12486,
        "brand_id": "Ebros_Gift",
        "category_id": "Trousers",
        "price": 28969,
    },
}
# Not \d, which takes the digits of every script. A 31 February has this form, and is still refused.
_DAY: Final = "(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_SECOND: Final = f"{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_MILLISECOND: Final = f"{_SECOND}(\\.[0-9]{{3}})?"
_MINUTE: Final = f"{_DAY}T([01][0-9]|2[0-3]):[0-5][0-9]:00"
_PROBLEMS: Final = {
    400: "The request cannot be read.",
    401: "This server asks for a bearer token, and none or a wrong one was sent.",
    405: "Only POST is allowed here.",
    408: "The body was not whole in time; nothing was stored.",
    413: f"The body is longer than {MAX_BODY_BYTES} bytes, or inflates to more.",
    415: "The body has a Content-Encoding other than gzip.",
    422: "A field breaks a rule; nothing was stored.",
    503: "A store cannot be reached, or too many requests wait; nothing was stored.",
    504: "Sent to the log, and no answer came: the tag may or may not be stored.",
}

_HEADERS: Final = {
    401: {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}},
    405: {"Allow": {"schema": {"type": "string"}}},
    415: {"Accept-Encoding": {"schema": {"type": "string", "const": "gzip"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}
_AGGREGATES: Final = {
    "columns": ["1m_bucket", "action", "category_id", "count", "sum_price"],
    "rows": [["2022-03-01T00:01:00", "VIEW", "Shoes___Accessories", "2", "57938"]],
}
_HEALTH: Final = {
    str(status): {
        "description": description,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status", "stores"],
                    "properties": {
                        "status": {"enum": ["ok", "degraded"]},
                        "stores": {"type": "object"},
                    },
                }
            }
        },
    }
    for status, description in ((200, "Every store answers."), (503, "One does not."))
}
_VERSION: Final = {
    "200": {
        "description": "What runs here.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["version", "commit", "code", "python", "ray", "stores"],
                    "properties": {
                        "version": {"type": "string"},
                        "commit": {"type": ["string", "null"]},
                        "code": {"type": ["string", "null"]},
                        "python": {"type": "string"},
                        "ray": {"type": ["string", "null"]},
                        "stores": {
                            "type": "object",
                            "additionalProperties": {"type": ["string", "null"]},
                        },
                    },
                }
            }
        },
    }
}


def document(routes: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if routes.openapi_schema is None:
        content = get_openapi(title=routes.title, version=routes.version, routes=routes.routes)
        _, schemas = msgspec.json.schema_components(
            (UserTag, ProfileAnswer, AggregateAnswer), ref_template="#/components/schemas/{name}"
        )
        tag = schemas["UserTag"]["properties"]
        tag["device"]["enum"] = list(DEVICES)
        tag["action"]["enum"] = list(ACTIONS)
        tag["time"]["pattern"] = f"^{_MILLISECOND}Z$"
        schemas["UserTag"]["examples"] = [EXAMPLE_TAG]
        schemas["ProfileAnswer"]["examples"] = [
            {"cookie": EXAMPLE_TAG["cookie"], "views": [EXAMPLE_TAG], "buys": []}
        ]
        schemas["AggregateAnswer"]["examples"] = [_AGGREGATES]
        schemas["Problem"] = _problem_schema()
        content.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        content["components"]["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "Only where the server was given a token (TAGS_API_TOKEN).",
            }
        }
        # Either will do: whether a token is asked for is the server's setting.
        content["security"] = [{}, {"bearer": []}]
        content["paths"]["/health"]["get"]["responses"] |= _HEALTH | _problems(401, 405, 408)
        content["paths"]["/version"]["get"]["responses"] |= _VERSION | _problems(401, 405, 408)
        content["paths"].update(_paths())
        routes.openapi_schema = content
    return routes.openapi_schema


def _paths() -> dict[str, Any]:
    return {
        "/user_tags": {
            "post": {
                "tags": ["contract"],
                "summary": "Accept one user tag",
                "description": "The body may be gzipped (`Content-Encoding: gzip`).",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": _ref("UserTag"), "example": EXAMPLE_TAG}
                    },
                },
                "responses": {"204": {"description": "Accepted."}}
                | _problems(400, 401, 405, 408, 413, 415, 422, 503, 504),
            }
        },
        "/user_profiles/{cookie}": {
            "post": {
                "tags": ["contract"],
                "summary": "The newest tags of one user",
                "parameters": [
                    _parameter("cookie", where="path", schema=_name()),
                    _parameter(
                        "time_range",
                        "`<from>_<to>`, UTC without Z; `<from>` inclusive, `<to>` exclusive.",
                        schema=_range(_MILLISECOND),
                        example="2022-03-01T00:00:01.610_2022-03-01T00:00:02.419",
                    ),
                    _parameter(
                        "limit",
                        "At most so many tags of each kind, the newest.",
                        required=False,
                        schema={"type": "integer", "minimum": 0, "default": DEFAULT_LIMIT},
                    ),
                ],
                "responses": _ok("ProfileAnswer") | _problems(400, 401, 405, 408, 422, 503),
            }
        },
        "/aggregates": {
            "post": {
                "tags": ["contract"],
                "summary": "Counts and sums per minute",
                "parameters": [
                    _parameter(
                        "time_range",
                        f"`<from>_<to>`, whole minutes, at most {MAX_RANGE_MINUTES} apart.",
                        schema=_range(_MINUTE),
                        example="2022-03-01T00:01:00_2022-03-01T00:02:00",
                    ),
                    _parameter("action", schema={"type": "string", "enum": list(ACTIONS)}),
                    _parameter(
                        "aggregates",
                        "Repeated; the columns come in this order.",
                        schema={
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "enum": list(AGGREGATES)},
                        },
                    ),
                    _parameter("origin", required=False, schema=_name()),
                    _parameter("brand_id", required=False, schema=_name()),
                    _parameter("category_id", required=False, schema=_name()),
                ],
                "responses": _ok("AggregateAnswer") | _problems(400, 401, 405, 408, 422, 503),
            }
        },
    }


def _parameter(
    name: str,
    description: str = "",
    *,
    where: str = "query",
    required: bool = True,
    schema: dict[str, Any] | None = None,
    example: str = "",
) -> dict[str, Any]:
    parameter: dict[str, Any] = {
        "name": name,
        "in": where,
        "required": required,
        "schema": schema or {"type": "string"},
    }
    if description:
        parameter["description"] = description
    if example:
        parameter["example"] = example
    return parameter


def _name() -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH}


def _range(moment: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{moment}_{moment}$"}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _ok(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(schema)}}
    return {"200": {"description": "The answer.", "content": content}}


def _problems(*statuses: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    responses: dict[str, Any] = {}
    for status in statuses:
        responses[str(status)] = {"description": _PROBLEMS[status], "content": content}
        if status in _HEADERS:
            responses[str(status)]["headers"] = _HEADERS[status]
    return responses


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457. `field` is the path of the value that breaks the rule.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "field": {"type": "string"},
            "retry_after_s": {"type": "integer"},
        },
    }
