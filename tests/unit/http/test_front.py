"""What Serve reads from a request's head cannot make it fail, or decide for us."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve._private.replica import Replica
from starlette.types import Message

from serve_app.admission import Admission
from serve_app.http.front import Front
from serve_app.http.serve_headers import Header, sanitized
from tests.fakes.http import BODY, Client
from tests.front.serve_reading import what_serve_reads

NAMES = [
    b"x-request-id",
    b"x_request_id",
    b"x-request-timeout-seconds",
    b"x-request-disconnect-disabled",
    b"x-session-id",
    b"x_session_id",
    b"x-session_id",
    b"serve_multiplexed_model_id",
    b"serve-multiplexed-model-id",
    b"serve_multiplexed-model-id",
    b"traceparent",
    b"tracestate",
    b"x-request-start",
    b"content-type",
    b"x-mine",
]
VALUES = st.sampled_from([b"", b"1", b"0.001", b"-1", b"?1", b"\xff", b"ok", b"nan", b"1e999"])
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES | st.binary(max_size=300)), max_size=20)


@given(headers=HEADERS)
def test_no_head_makes_serve_fail_or_gives_a_client_a_say(headers: list[Header]) -> None:
    read = what_serve_reads(sanitized(headers))
    assert read.pop("request_id").isprintable()
    assert read == {"timeout_s": None, "unwatched": False, "session": "", "models": []}


def test_serve_still_reads_what_the_front_is_there_for() -> None:
    """When this fails, Serve has changed: read `_direct_ingress_asgi` again."""
    read = what_serve_reads([(b"x-request-timeout-seconds", b"0.5"), (b"x-session-id", b"me")])
    assert (read["timeout_s"], read["session"]) == (0.5, "me")
    with pytest.raises(UnicodeDecodeError):
        what_serve_reads([(b"x-request-id", b"\xff")])
    names = Replica._direct_ingress_asgi.__code__.co_names
    assert {"parse_disconnect_disabled_header", "parse_session_id_header"} <= set(names)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([b"my id"], [b"my id"]),
        ([b"x" * 128], [b"x" * 128]),
        ([b"x" * 129], []),
        ([b"\xff"], []),
        ([b""], []),
        # Which of them is it?
        ([b"a", b"b"], []),
    ],
)
def test_an_id_that_cannot_be_used_is_left_to_serve(sent: list[bytes], kept: list[bytes]) -> None:
    headers = [(b"host", b"x"), *((b"x-request-id", id_) for id_ in sent)]
    assert sanitized(headers) == [(b"host", b"x"), *((b"x-request-id", id_) for id_ in kept)]


@given(headers=HEADERS)
def test_what_is_none_of_serves_business_stays_in_its_order(headers: list[Header]) -> None:
    ours = {b"content-type", b"x-mine", b"x-request-start"}
    assert [one for one in sanitized(headers) if one[0] in ours] == [
        one for one in headers if one[0] in ours
    ]


def fronted() -> Client:
    client = Client()
    client.app = Front(client.app, Admission())  # type: ignore[assignment]
    return client


@pytest.mark.parametrize("method", ["OPTIONS", "CONNECT", "POST"])
@pytest.mark.parametrize("target", ["*", "example.org:80", ""])
async def test_a_target_that_is_no_path_is_a_400_of_ours(method: str, target: str) -> None:
    answer = await fronted().request(method, target, [BODY])
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.unread == 0


@pytest.mark.parametrize("extension", [True, False])
async def test_an_offer_to_speak_websocket_is_refused(extension: bool) -> None:
    sent: list[Message] = []
    extensions: dict[str, Any] = {"websocket.http.response": {}} if extension else {}

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/user_tags", "headers": [], "extensions": extensions}
    await fronted().app(scope, receive, send)
    if not extension:
        assert sent == [{"type": "websocket.close"}]
        return
    assert [one["type"] for one in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 400
    assert (b"content-type", b"application/problem+json") in sent[0]["headers"]
