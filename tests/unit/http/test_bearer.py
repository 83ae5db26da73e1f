"""The bearer token in front of the application."""

import pytest
from pydantic import SecretStr

from serve_app.http.bearer import require_token
from tests.fakes.http import BODY, Client

TOKEN = "s3cret-ü"


def guarded() -> Client:
    client = Client()
    client.app = require_token(client.app, SecretStr(TOKEN))  # type: ignore[assignment]
    return client


def header(value: str) -> tuple[bytes, bytes]:
    return (b"authorization", value.encode())


def test_without_a_token_the_application_stands_alone() -> None:
    app = Client().app
    assert require_token(app, SecretStr("")) is app


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_right_token_is_let_through(scheme: str) -> None:
    client = guarded()
    answer = await client.request(
        "POST", "/user_tags", [BODY], headers=[header(f"{scheme} {TOKEN}")]
    )
    assert answer.status == 204
    assert len(client.ingest.accepted) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [header("")],
        [header("Bearer")],
        [header("Bearer ")],
        [header(TOKEN)],
        [header(f"Basic {TOKEN}")],
        [header(f"Bearer {TOKEN}x")],
        [header(f"Bearer {TOKEN[:-1]}")],
        [header(f"Bearer {TOKEN.upper()}")],
        # Which of the two was meant? Proxies in front may read the other one.
        [header(f"Bearer {TOKEN}"), header("Bearer wrong")],
        [(b"x-authorization", f"Bearer {TOKEN}".encode())],
    ],
)
@pytest.mark.parametrize("target", ["/user_tags", "/user_profiles/a", "/aggregates", "/health"])
async def test_anything_else_is_refused_and_read_to_its_end(
    headers: list[tuple[bytes, bytes]], target: str
) -> None:
    client = guarded()
    answer = await client.request("POST", target, [BODY[:10], BODY[10:]], headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["title"] == "Unauthorized"
    assert answer.unread == 0
    assert not client.ingest.accepted
    assert TOKEN not in answer.body.decode()


async def test_a_client_that_goes_away_gets_no_answer() -> None:
    answer = await guarded().request("POST", "/user_tags", [BODY], gone_after=0)
    assert answer.status == 0


@pytest.mark.parametrize("target", ["/", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
async def test_the_documentation_is_open(target: str) -> None:
    assert (await guarded().request("GET", target)).status == 200
