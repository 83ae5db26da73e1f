"""With a token set, no data can be read or written without it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from setup.local.platform import Platform
from setup.local.status import partition_statuses
from tests.contract.api import check_problem, new_cookie
from tests.guarded.conftest import TOKEN
from tests.tags import new_tag

GUARDED = [
    ("POST", "/user_tags"),
    ("POST", "/user_profiles/a?time_range=2022-03-01T00:00:00_2022-03-01T00:00:01"),
    (
        "POST",
        "/aggregates?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
        "&action=VIEW&aggregates=COUNT",
    ),
    ("GET", "/health"),
    ("GET", "/case3/status"),
    ("GET", "/nowhere"),
]


@pytest.fixture
def http(guarded_platform: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded_platform.ray.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize(("method", "target"), GUARDED)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {TOKEN}"])
def test_without_the_token_nothing_is_told(
    http: httpx.Client, method: str, target: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = http.request(method, target, content=b"{}", headers=headers)
    check_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_tag_needs_the_token(http: httpx.Client) -> None:
    cookie, right = new_cookie(), {"Authorization": f"Bearer {TOKEN}"}
    target = f"/user_profiles/{cookie}?time_range=2022-03-01T00:00:00_2022-03-01T00:00:01"
    body = json.dumps(new_tag(cookie, "2022-03-01T00:00:00.649Z"))
    check_problem(http.post("/user_tags", content=body), 401)
    assert http.post(target, headers=right).json()["views"] == []
    assert http.post("/user_tags", content=body, headers=right).status_code == 204
    assert http.post(target, headers=right).json()["views"] == [json.loads(body)]


def test_with_the_token_the_status_is_told(guarded_platform: Platform, http: httpx.Client) -> None:
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert http.get("/health", headers=right).json()["status"] == "ok"
    assert len(http.get("/case3/status", headers=right).json()["partitions"]) == 3
    # `make status` finds the token by itself.
    assert len(partition_statuses(guarded_platform)) == 3


@pytest.mark.parametrize("target", ["/", "/docs", "/openapi.json", "/-/healthz"])
def test_what_tells_of_no_user_is_open(http: httpx.Client, target: str) -> None:
    assert http.get(target).status_code == 200


def test_the_web_panel_sends_the_token(guarded_platform: Platform) -> None:
    command = [sys.executable, "-m", "tests.webpanel", "--port", str(guarded_platform.http_port)]
    command += ["--rate", "20", "--duration", "1", "--start", "2022-04-01T00:00:00Z", "--quiet"]
    # Its default time-out is for an idle machine; this test is not about speed.
    command += ["--drain", "no", "--tag-timeout", "20"]
    for token, status in ((TOKEN, 0), ("wrong", 1)):
        environment = {**os.environ, "TAGS_API_TOKEN": token}
        assert subprocess.run(command, env=environment, check=False).returncode == status
