"""The three endpoints: what goes in, what comes out, and that every body is read to its end."""

import json
from typing import Any

import msgspec
import pytest
from starlette.datastructures import MutableHeaders
from starlette.types import Message

from serve_app.core.errors import OutcomeUnknown, Problem, RuleBroken, Unavailable
from serve_app.core.tag import MAX_BODY_BYTES
from serve_app.http import messages
from tests.fakes.http import BODY, EXAMPLE, EXAMPLE_MS, Answer, Client
from tests.tags import decode_tag

RANGE = "time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
PROFILE = f"/user_profiles/abc?{RANGE}"
AGGREGATES = f"/aggregates?{RANGE}&action=VIEW&aggregates=COUNT"
ENDPOINTS = ["/user_tags", PROFILE, AGGREGATES]


@pytest.fixture
def client() -> Client:
    return Client()


def check_problem(
    answer: Answer, status: int, field: str = "", *, unread: int = 0
) -> dict[str, Any]:
    """A problem document (RFC 9457) of this status that names ``field``."""
    assert answer.status == status
    assert len(answer.starts) == 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-length"] == str(len(answer.body))
    content: dict[str, Any] = answer.json
    assert content["status"] == status
    assert content["type"] == "about:blank"
    assert content["title"]
    assert content["detail"]
    assert content.get("field", "") == field
    assert answer.unread <= unread
    return content


class TestUserTags:
    async def test_a_tag_is_taken_with_204_and_nothing_else(self, client: Client) -> None:
        answer = await client.request("POST", "/user_tags", [BODY])
        assert (answer.status, answer.body, answer.unread) == (204, b"", 0)
        assert client.ingest.accepted == [(decode_tag(BODY), BODY)]
        assert client.ingest.times_ms == [EXAMPLE_MS]

    @pytest.mark.parametrize("step", [1, 7, 100])
    async def test_a_body_in_pieces_is_put_together(self, client: Client, step: int) -> None:
        parts = [BODY[at : at + step] for at in range(0, len(BODY), step)]
        answer = await client.request("POST", "/user_tags", [b"", *parts, b""])
        assert (answer.status, answer.unread) == (204, 0)
        assert client.ingest.accepted == [(decode_tag(BODY), BODY)]

    @pytest.mark.parametrize("messages", range(4))
    async def test_a_client_gone_in_mid_body_stores_nothing(
        self, client: Client, messages: int
    ) -> None:
        parts = [BODY[:50], BODY[50:], b"", b""]
        answer = await client.request("POST", "/user_tags", parts, gone_after=messages)
        assert answer.status == 0
        assert client.ingest.accepted == []

    async def test_a_whole_tag_whose_end_never_came_is_not_stored(self, client: Client) -> None:
        # The first message holds all of the JSON, and says that more follows.
        await client.request("POST", "/user_tags", [BODY, b" "], gone_after=1)
        assert client.ingest.accepted == []

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (b"my id", b"my id"),
            (b"x" * 128, b"x" * 128),
            (b"x" * 129, b""),
            (b"\xc5\xbc", b""),
            (b"a\x1b[31m", b""),
            (None, b""),
        ],
    )
    async def test_a_request_id_goes_with_the_tag(
        self, client: Client, sent: bytes | None, kept: bytes
    ) -> None:
        headers = [(b"x-other", b"1")] + ([] if sent is None else [(b"x-request-id", sent)])
        answer = await client.request("POST", "/user_tags", [BODY], headers=headers)
        assert answer.status == 204
        assert client.ingest.request_ids == [kept]

    async def test_refusals_are_counted_by_endpoint_and_reason(self, client: Client) -> None:
        client.ingest.error = Unavailable("no")
        await client.request("POST", "/user_tags", [BODY])
        await client.request("POST", "/user_tags", [b"{"])
        await client.request("GET", "/user_profiles/somebody")
        await client.request("POST", "/aggregates")
        found = {labels for _, labels in client.recorder.counts}
        assert found == {
            ("user_tags", "503", "Unavailable"),
            ("user_tags", "400", "Unreadable"),
            ("user_profiles", "405", "MethodNotAllowed"),
            ("aggregates", "422", "RuleBroken"),
        }

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", BODY[:-1], BODY + b"x"])
    async def test_what_is_no_json_is_400(self, client: Client, body: bytes) -> None:
        check_problem(await client.request("POST", "/user_tags", [body]), 400)
        assert client.ingest.accepted == []

    async def test_a_broken_rule_is_422_with_the_fields_path(self, client: Client) -> None:
        body = BODY.replace(b"28969", b"2147483648")
        answer = await client.request("POST", "/user_tags", [body])
        content = check_problem(answer, 422, "product_info.price")
        assert content["detail"].startswith("product_info.price: ")
        assert client.ingest.accepted == []

    async def test_the_longest_body_is_taken_and_one_byte_more_is_413(self, client: Client) -> None:
        longest = BODY + b" " * (MAX_BODY_BYTES - len(BODY))
        assert MAX_BODY_BYTES == 64 * 1024
        for parts in ([longest], [longest[:100], longest[100:]], [b"", longest, b""]):
            assert (await client.request("POST", "/user_tags", parts)).status == 204
        check_problem(await client.request("POST", "/user_tags", [longest + b" "]), 413)
        in_parts = [longest[:100], longest[100:], b" "]
        check_problem(await client.request("POST", "/user_tags", in_parts), 413)
        assert [body for _, body in client.ingest.accepted] == [longest] * 3

    async def test_a_body_far_too_long_is_read_to_its_end(self, client: Client) -> None:
        parts = [BODY, *[b" " * 60_000] * 20, b""]
        check_problem(await client.request("POST", "/user_tags", parts), 413)
        assert client.ingest.accepted == []

    async def test_503_says_when_to_try_again(self, client: Client) -> None:
        client.ingest.error = Unavailable("the log cannot be reached", retry_after_s=3)
        answer = await client.request("POST", "/user_tags", [BODY])
        content = check_problem(answer, 503)
        assert answer.headers["retry-after"] == "3"
        assert content["retry_after_s"] == 3

    @pytest.mark.parametrize("error", [OutcomeUnknown("no answer came"), RuntimeError("a bug")])
    async def test_504_does_not_invite_to_try_again(self, client: Client, error: Exception) -> None:
        client.ingest.error = error
        answer = await client.request("POST", "/user_tags", [BODY])
        content = check_problem(answer, 504)
        assert "retry-after" not in answer.headers
        assert "retry_after_s" not in content
        assert "a bug" not in content["detail"]

    async def test_the_query_string_and_the_content_type_do_not_matter(
        self, client: Client
    ) -> None:
        headers = [(b"content-type", b"text/plain")]
        answer = await client.request("POST", "/user_tags?x=%ff", [BODY], headers=headers)
        assert answer.status == 204


class TestUserProfiles:
    async def test_an_answer_is_the_contracts_json(self, client: Client) -> None:
        client.profiles.tags = [decode_tag(BODY)]
        answer = await client.request("POST", PROFILE)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.json == {"cookie": "abc", "views": [EXAMPLE], "buys": []}

    @pytest.mark.parametrize(
        ("raw", "cookie"),
        [
            ("9WkYGxkiXBfpMIjBGURC", "9WkYGxkiXBfpMIjBGURC"),
            ("a%2Fb", "a/b"),
            ("a/b", "a/b"),
            ("a%252Fb", "a%2Fb"),
            ("a+b", "a+b"),
            ("a%2Bb", "a+b"),
            ("a%20b", "a b"),
            ("%20", " "),
            ("a%3Fb", "a?b"),
            ("a%23b", "a#b"),
            ("a_b", "a_b"),
            ("%C5%BC%C3%B3", "żó"),
            ("%F0%9F%98%80", "\U0001f600"),
            ("a%00b", "a\x00b"),
            ("%7Ba%7D", "{a}"),
            ("100%", "100%"),
            ("..", ".."),
            ("user_profiles/", "user_profiles/"),
        ],
    )
    async def test_cookies_are_percent_decoded_once(
        self, client: Client, raw: str, cookie: str
    ) -> None:
        answer = await client.request("POST", f"/user_profiles/{raw}?{RANGE}")
        assert answer.status == 200
        assert answer.json["cookie"] == cookie
        assert client.profiles.queries[0].cookie == cookie

    @pytest.mark.parametrize("prefix", ["/user%5Fprofiles/", "/%75ser_profiles/"])
    async def test_a_path_may_be_encoded_where_it_need_not_be(
        self, client: Client, prefix: str
    ) -> None:
        answer = await client.request("POST", f"{prefix}abc?{RANGE}")
        assert answer.status == 200
        assert answer.json["cookie"] == "abc"

    @pytest.mark.parametrize("raw", [b"%FF", b"a%C3%28", b"%ED%A0%80", b"\xff"])
    async def test_a_cookie_that_is_not_utf8_is_400(self, client: Client, raw: bytes) -> None:
        target = b"/user_profiles/" + raw + b"?" + RANGE.encode()
        check_problem(await client.request("POST", target), 400)
        assert client.profiles.queries == []

    @pytest.mark.parametrize("raw", ["", "x" * 129])
    async def test_a_cookie_of_another_length_is_422(self, client: Client, raw: str) -> None:
        answer = await client.request("POST", f"/user_profiles/{raw}?{RANGE}", [b"x", b"y"])
        check_problem(answer, 422, "cookie")

    @pytest.mark.parametrize(
        ("query", "field"),
        [("", "time_range"), (f"{RANGE}&limit=-1", "limit"), ("time_range=1_2", "time_range")],
    )
    async def test_a_broken_rule_is_422(self, client: Client, query: str, field: str) -> None:
        answer = await client.request("POST", f"/user_profiles/abc?{query}", [b"a", b"b", b"c"])
        check_problem(answer, 422, field)
        assert client.profiles.queries == []

    async def test_a_query_that_is_not_utf8_is_400(self, client: Client) -> None:
        answer = await client.request("POST", f"{PROFILE}&limit=%FF", [b"a", b"b"])
        check_problem(answer, 400)

    async def test_time_is_bounded(self, client: Client) -> None:
        await client.request("POST", PROFILE)
        assert 0.5 < client.profiles.left_s[0] <= 1.0

    @pytest.mark.parametrize(
        ("error", "status"), [(Unavailable("behind"), 503), (RuntimeError("a bug"), 503)]
    )
    async def test_no_answer_is_503(self, client: Client, error: Exception, status: int) -> None:
        client.profiles.error = error
        answer = await client.request("POST", PROFILE)
        content = check_problem(answer, status)
        assert answer.headers["retry-after"] == "1"
        assert "a bug" not in content["detail"]


class TestAggregates:
    async def test_an_answer_is_the_contracts_json(self, client: Client) -> None:
        target = f"{AGGREGATES}&aggregates=SUM_PRICE&brand_id=Nike+&origin=A%26B"
        answer = await client.request("POST", target)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json == {
            "columns": ["1m_bucket", "action", "origin", "brand_id", "count", "sum_price"],
            "rows": [["2022-03-01T00:00:00", "VIEW", "A&B", "Nike ", "0", "0"]],
        }

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("", "time_range"),
            (f"{RANGE}&aggregates=COUNT", "action"),
            (f"{RANGE}&action=VIEW", "aggregates"),
            (f"{RANGE}&action=VIEW&aggregates=COUNT&origin=", "origin"),
        ],
    )
    async def test_a_broken_rule_is_422(self, client: Client, query: str, field: str) -> None:
        answer = await client.request("POST", f"/aggregates?{query}", [b"a", b"b", b"c"])
        check_problem(answer, 422, field)
        assert client.aggregates.queries == []

    async def test_time_is_bounded(self, client: Client) -> None:
        await client.request("POST", AGGREGATES)
        assert 50 < client.aggregates.left_s[0] <= 55

    async def test_no_answer_is_503_with_the_lag(self, client: Client) -> None:
        client.aggregates.error = Unavailable("aggregates are 3 tags behind", retry_after_s=5)
        answer = await client.request("POST", AGGREGATES)
        assert "3 tags behind" in check_problem(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "5"

    async def test_an_unforeseen_error_tells_nothing(self, client: Client) -> None:
        client.aggregates.error = RuntimeError("a bug")
        content = check_problem(await client.request("POST", AGGREGATES), 503)
        assert "a bug" not in content["detail"]


class TestBothQueries:
    @pytest.mark.parametrize("target", [PROFILE, AGGREGATES])
    async def test_a_debug_body_is_read_and_changes_nothing(
        self, client: Client, target: str
    ) -> None:
        plain = await client.request("POST", target)
        wrong = json.dumps({"cookie": "x", "views": [EXAMPLE] * 1000, "buys": [], "rows": [["1"]]})
        assert len(wrong) > 200_000
        parts = [wrong[:100].encode(), wrong[100:].encode(), b""]
        debug = await client.request("POST", target, parts)
        assert debug.unread == 0
        assert (debug.status, debug.body) == (200, plain.body)

    @pytest.mark.parametrize("target", [PROFILE, AGGREGATES])
    async def test_a_client_gone_in_mid_body_is_not_answered(
        self, client: Client, target: str
    ) -> None:
        assert (await client.request("POST", target, [b"a", b"b"], gone_after=1)).status == 0
        assert client.profiles.queries == []
        assert client.aggregates.queries == []


class TestEveryEndpoint:
    @pytest.mark.parametrize("target", ENDPOINTS)
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
    async def test_other_methods_are_405(self, client: Client, target: str, method: str) -> None:
        answer = await client.request(method, target, [b"x" * 100_000, b"y", b""])
        check_problem(answer, 405)
        assert answer.headers["allow"] == "POST"
        assert client.ingest.accepted == []

    @pytest.mark.parametrize("target", ENDPOINTS)
    async def test_what_others_do_to_an_answer_does_not_last(
        self, client: Client, target: str
    ) -> None:
        # Serve's RequestIdMiddleware appends a header to each answer in just this way.
        def add_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("x-request-id", "1")

        first = await client.request("POST", target, [BODY])
        client.on_send = add_header  # type: ignore[method-assign]
        await client.request("POST", target, [BODY])
        again = await client.request("POST", target, [BODY])
        assert again.headers == first.headers

    @pytest.mark.parametrize(
        "target",
        ["/user_tag", "/user_tags/", "/user_profiles", "/aggregates/", "/favicon.ico"],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_other_paths_are_404(self, client: Client, target: str, method: str) -> None:
        answer = await client.request(method, target)
        assert check_problem(answer, 404, unread=1)["detail"].endswith(target)

    @pytest.mark.parametrize("target", ["/nowhere", "/health"])
    async def test_a_refused_body_is_read_to_its_end(self, client: Client, target: str) -> None:
        answer = await client.request("POST", target, [b"x" * 60_000] * 4)
        assert answer.status in (404, 405)
        assert answer.unread == 0

    async def test_health_names_each_store(self, client: Client) -> None:
        client.health = {"status": "ok", "stores": {"redis": {"status": "ok", "detail": "3"}}}
        answer = await client.request("GET", "/health")
        assert (answer.status, answer.json) == (200, client.health)
        client.health = {"status": "degraded", "stores": {"redis": {"status": "down"}}}
        answer = await client.request("GET", "/health")
        assert (answer.status, answer.json) == (503, client.health)

    async def test_health_is_for_get(self, client: Client) -> None:
        answer = await client.request("POST", "/health")
        check_problem(answer, 405, unread=1)
        assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("error", [RuleBroken("a: b", field="a"), Unavailable("c")])
async def test_a_document_can_be_read_by_any_json_reader(error: Problem) -> None:
    assert json.loads(error.document()) == msgspec.json.decode(error.document())


@pytest.mark.parametrize("target", [*ENDPOINTS, "/health"])
@pytest.mark.parametrize("parts", [[b"{"], [b"", b"{"]])
async def test_a_body_that_does_not_come_to_its_end_is_408_and_the_end_of_the_connection(
    client: Client, monkeypatch: pytest.MonkeyPatch, target: str, parts: list[bytes]
) -> None:
    monkeypatch.setattr(messages, "BODY_S", 0.05)
    method = "GET" if target == "/health" else "POST"
    answer = await client.request(method, target, parts, stalls=True)
    check_problem(answer, 408)
    assert answer.headers["connection"] == "close"
    assert client.ingest.accepted == []
