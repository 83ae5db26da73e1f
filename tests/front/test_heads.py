"""Unusual heads of requests, byte by byte: answered correctly, or with 4xx."""

import asyncio
import json

import pytest

from tests.fakes.http import BODY
from tests.front.conftest import Door
from tests.front.front_door import answer_on, exchange

N = len(BODY)
GZIP = b"Content-Encoding: gzip\r\n"


def tag(*lines: bytes, first: bytes = b"POST /user_tags HTTP/1.1", body: bytes = BODY) -> bytes:
    """A tag's request with additional header lines."""
    head = (first, b"Host: x", b"Content-Length: %d" % len(body), *lines)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


CHUNKED = (
    b"POST /user_tags HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %b\r\n%b\r\n%x\r\n%b\r\n0\r\n%b\r\n"
)


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        pytest.param(tag(), {204}, id="plain"),
        pytest.param(tag(b"X-Request-ID: \xff"), {204}, id="request id not UTF-8"),
        pytest.param(tag(b"X-Request-ID: "), {204}, id="request id empty"),
        pytest.param(tag(b"X-Request-ID: a", b"X-Request-ID: b"), {204}, id="two request ids"),
        pytest.param(tag(b"X-Session-ID: \xff"), {204}, id="session id not UTF-8"),
        pytest.param(tag(b"X_Session_ID: \xff"), {204}, id="session id with underscores"),
        pytest.param(tag(b"X-Request-Timeout-Seconds: 0.001"), {204}, id="time-out"),
        pytest.param(tag(b"X-Request-Timeout-Seconds: \xff"), {204}, id="time-out not UTF-8"),
        pytest.param(tag(b"X-Request-Disconnect-Disabled: \xff"), {204}, id="disconnect"),
        pytest.param(tag(b"serve_multiplexed_model_id: \xff"), {204}, id="model"),
        pytest.param(tag(b"traceparent: \xff"), {204}, id="trace"),
        pytest.param(tag(b"X-Request-Start: t=" + b"9" * 400), {204}, id="a start to come"),
        pytest.param(
            tag(b"X-Forwarded-For: \xff", b"X-Forwarded-Proto: ws"), {204}, id="forwarded"
        ),
        pytest.param(
            tag(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAA"),
            {204},
            id="offer of HTTP/2",
        ),
        pytest.param(
            tag(
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                first=b"GET /user_tags HTTP/1.1",
                body=b"",
            ),
            {405},
            id="offer of WebSocket",
        ),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}, id="HTTP/2 outright"),
        pytest.param(tag(b"Expect: 100-continue"), {204}, id="expect"),
        pytest.param(tag(b"Expect: a-miracle"), {204, 417}, id="expect something else"),
        pytest.param(tag(first=b"POST http://x/user_tags HTTP/1.1"), {204}, id="absolute target"),
        pytest.param(tag(first=b"POST HTTP://x/user_tags HTTP/1.1"), {204}, id="in capitals"),
        pytest.param(tag(first=b"OPTIONS * HTTP/1.1", body=b""), {400}, id="asterisk"),
        pytest.param(tag(first=b"CONNECT x:80 HTTP/1.1", body=b""), {400, 405}, id="authority"),
        pytest.param(tag(first=b"post /user_tags HTTP/1.1"), {405}, id="method in lower case"),
        pytest.param(tag(first=b"BREW /user_tags HTTP/1.1"), {405}, id="unknown method"),
        pytest.param(tag(first=b"POST /user_tags HTTP/1.0"), {204}, id="HTTP/1.0"),
        pytest.param(tag(first=b"POST /user_tags"), {400}, id="HTTP/0.9"),
        pytest.param(tag(first=b"POST /user_tags HTTP/9.9"), {204, 400, 505}, id="HTTP/9.9"),
        pytest.param(tag(first=b"POST user_tags HTTP/1.1"), {400}, id="no slash"),
        pytest.param(tag(first=b"POST /user_tags\xff HTTP/1.1"), {400, 404}, id="path not ASCII"),
        pytest.param(tag(first=b"POST /user_tags?%ff=%00 HTTP/1.1"), {204}, id="a query"),
        pytest.param(tag(first=b"POST /user_profiles/%ff HTTP/1.1"), {400, 422}, id="cookie"),
        pytest.param(tag(b"Content-Length: %d" % N), {204}, id="length twice, the same"),
        pytest.param(tag(b"Content-Length: 1"), {400}, id="length twice, another"),
        pytest.param(tag(b"Transfer-Encoding: chunked"), {400, 408}, id="length and chunks"),
        pytest.param(tag(b"Host: y"), {204, 400}, id="host twice"),
        pytest.param(tag(b"X: " + b"y" * 8_000), {204}, id="a long header"),
        pytest.param(tag(b"X: " + b"y" * 20_000), {400, 413, 431}, id="a header too long"),
        pytest.param(tag(*[b"X-%d: y" % n for n in range(90)]), {204}, id="90 headers"),
        pytest.param(tag(*[b"X-%d: y" % n for n in range(500)]), {400, 431}, id="500 headers"),
        pytest.param(tag(b"X:\xff\x80"), {204}, id="a value not UTF-8"),
        pytest.param(tag(b"X: a\x00b"), {400}, id="a NUL"),
        pytest.param(tag(b"X: a", b" b"), {204, 400}, id="a folded line"),
        pytest.param(tag(b"X\xff: a"), {400}, id="a name not ASCII"),
        pytest.param(tag(b"X a: b"), {400}, id="a name with a space"),
        pytest.param(tag(b": b"), {400}, id="no name"),
        pytest.param(CHUNKED % (b"chunked", b"", N, BODY, b""), {204}, id="chunks"),
        pytest.param(CHUNKED % (b"Chunked", b"", N, BODY, b"X-T: 1\r\n"), {204}, id="a trailer"),
        pytest.param(CHUNKED % (b"gzip, chunked", b"", N, BODY, b""), {400, 422, 501}, id="TE"),
        pytest.param(CHUNKED % (b"chunked", b"", N + 1, BODY, b""), {400}, id="a wrong chunk size"),
        pytest.param(b"\r\n\r\n" + tag(), {204, 400}, id="empty lines first"),
        pytest.param(tag().replace(b"\r\n", b"\n", 4), {204, 400}, id="bare line feeds"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50, {400}, id="TLS"),
    ],
)
async def test_an_odd_head_is_right_or_4xx(
    door: Door, request_bytes: bytes, statuses: set[int]
) -> None:
    answer = await exchange(door.port, request_bytes)
    assert answer.status in statuses
    if answer.status != 204 and answer.is_problem:
        assert json.loads(answer.body)["status"] == answer.status
    # Other connections are not affected.
    assert (await exchange(door.port, tag())).status == 204


async def test_expect_is_answered_before_the_body_is_sent(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head, _, _ = tag(b"Expect: 100-continue").partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    async with asyncio.timeout(2):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await answer_on(reader)).status == 204
    writer.transport.abort()


async def test_pipelined_requests_are_answered_in_their_order(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write((tag() + tag(body=b"{") + tag(b"X-Request-ID: \xff")) * 20)
    statuses = [(await answer_on(reader)).status for _ in range(60)]
    assert statuses == [204, 400, 204] * 20
    writer.transport.abort()


async def test_a_client_that_closes_its_half_is_told_that_its_tag_is_stored(door: Door) -> None:
    for _ in range(20):
        assert (await exchange(door.port, tag(), end=True)).status == 204
