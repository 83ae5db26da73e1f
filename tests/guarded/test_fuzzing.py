"""schemathesis against the running system, with requests from our own OpenAPI document.

No 500, no undocumented status, no answer against its schema, and nothing stored from a refused
request.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serve_app.http.openapi import document
from serve_app.http.routes import build_routes
from setup.local.platform import Platform
from tests.guarded.conftest import TOKEN
from tests.log_ends import log_ends

ALL_TIME = "1970-01-01T00:00:00_9999-12-31T23:59:59.999"

CHECKS_LEFT_OUT: list[Any] = [
    # A schema cannot say "no 31 February", "not after <to>" or "at most ten minutes apart".
    positive_data_acceptance,
]


schema = schemathesis.openapi.from_dict(document(build_routes(lambda: asyncio.sleep(0, {}))))


@dataclass
class Ledger:
    """Outcomes of the tags of one operation's requests."""

    http: httpx.Client
    statuses: Counter[int] = field(default_factory=Counter)
    accepted_cookies: set[str] = field(default_factory=set)
    refused_cookies: set[str] = field(default_factory=set)

    def note(self, case: Case[Any], status: int) -> None:
        self.statuses[status] += 1
        if case.operation.path != "/user_tags":
            return
        body = case.body if isinstance(case.body, dict) else {}
        cookie = body.get("cookie")
        if status == 204:
            self.accepted_cookies.add(str(body["cookie"]))
        elif isinstance(cookie, str) and 1 <= len(cookie) <= 128:
            self.refused_cookies.add(cookie)

    def profile(self, cookie: str) -> Any:
        """Everything that is stored for a cookie."""
        target = f"/user_profiles/{quote(cookie, safe='')}?time_range={ALL_TIME}"
        return self.http.post(target).raise_for_status().json()


async def records(platform: Platform) -> int:
    """Number of tags ever appended to the log."""
    return sum((await log_ends(platform.settings().kafka_bootstrap)).values())


@pytest.fixture
def http(guarded_platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=guarded_platform.ray.url, headers=headers, timeout=30) as http:
        yield http


@pytest.fixture
def ledger(guarded_platform: Platform, http: httpx.Client) -> Iterator[Ledger]:
    """Checks at the end of each operation that the stores hold what was accepted, and no more."""
    before = asyncio.run(records(guarded_platform))
    ledger = Ledger(http)
    yield ledger
    assert asyncio.run(records(guarded_platform)) - before == ledger.statuses[204]
    for cookie in ledger.refused_cookies - ledger.accepted_cookies:
        assert ledger.profile(cookie) == {"cookie": cookie, "views": [], "buys": []}
    for cookie in ledger.accepted_cookies:
        profile = ledger.profile(cookie)
        assert profile["views"] or profile["buys"], cookie
    # Both kinds of answer must occur, or this test shows nothing.
    assert {status // 100 for status in ledger.statuses} >= {2, 4}, ledger.statuses


@schema.parametrize()
@settings(
    max_examples=100,
    deadline=None,
    # The ledger is shared by all examples of an operation on purpose.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_request_breaks_the_document(case: Case[Any], ledger: Ledger) -> None:
    assert case.meta is not None
    positive = case.meta.generation.mode == GenerationMode.POSITIVE
    if positive and case.operation.path == "/aggregates":
        make_answerable(case)
    headers = dict(ledger.http.headers)
    response = case.call(base_url=str(ledger.http.base_url), headers=headers)
    ledger.note(case, response.status_code)
    case.validate_response(response, headers=headers, excluded_checks=CHECKS_LEFT_OUT)


def make_answerable(case: Case[Any]) -> None:
    """Set a valid end of the range: random ones are hardly ever valid."""
    text = str(case.query["time_range"]).partition("_")[0]
    try:
        start = datetime.fromisoformat(text)
        end = start + timedelta(minutes=start.minute % 11)
    except (ValueError, OverflowError):
        return
    case.query["time_range"] = f"{text}_{end:%Y-%m-%dT%H:%M:%S}"


def test_it_is_the_servers_document_and_the_log_shows_a_tag(
    guarded_platform: Platform, http: httpx.Client
) -> None:
    """Preconditions of the tests above."""
    before = asyncio.run(records(guarded_platform))
    served = http.get("/openapi.json").json()
    assert served == schema.raw_schema
    example = served["components"]["schemas"]["UserTag"]["examples"][0]
    assert http.post("/user_tags", content=json.dumps(example)).status_code == 204
    assert asyncio.run(records(guarded_platform)) == before + 1
