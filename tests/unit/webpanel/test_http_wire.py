"""The answer parser: any form of HTTP/1.1 answer, in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webpanel.http_wire import AnswerParser, WireError, request_bytes, request_head

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"

# Bytes of the answer; its status, body, and whether the connection closes.
ANSWERS = [
    (b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", 204, b"", False),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello", False),
    (b"HTTP/1.1 200 OK\r\nContent-Length:0\r\nConnection: close\r\n\r\n", 200, b"", True),
    (CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", 200, b"hello", False),
    (CHUNKED + b"1\r\nh\r\n0\r\nTrailer: 1\r\n\r\n", 200, b"h", False),
    (INTERIM + b"HTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\nx", 503, b"x", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
]


@given(st.sampled_from(ANSWERS), st.data())
def test_any_pieces(answer: tuple[bytes, int, bytes, bool], data: st.DataObject) -> None:
    """Whole only with the last byte, whatever the cuts."""
    wire, status, body, close = answer
    cuts = data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=8))
    ends = [*sorted(cuts), len(wire)]
    parser = AnswerParser()
    for start, end in zip([0, *ends], ends, strict=False):
        assert parser.feed(wire[start:end]) == (end == len(wire))
    assert (parser.status, parser.body, parser.close) == (status, body, close)


def test_body_until_close() -> None:
    """Without a length the end of the connection ends the body."""
    parser = AnswerParser()
    assert not parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    assert not parser.feed(b"lo")
    assert parser.end()
    assert (parser.body, parser.close) == (b"hello", True)


def test_connection_lost_in_the_middle() -> None:
    """A body with a length is not whole before its last byte."""
    parser = AnswerParser()
    assert not parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
    assert not parser.end()


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_nonsense(wire: bytes) -> None:
    """No answer at all is an error of the wire."""
    with pytest.raises(WireError):
        AnswerParser().feed(wire)


@pytest.mark.parametrize("rest", [b"nonsense", b"HTTP/1.1 408 Too Late\r\n\r\n"])
def test_what_follows_is_ignored(rest: bytes) -> None:
    """A server may say more than it was asked, in the same piece."""
    parser = AnswerParser()
    assert parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + rest)
    assert (parser.status, parser.body, parser.close) == (200, b"hi", False)


def test_interim_answer_then_body_until_close() -> None:
    """The header lines of an interim answer say nothing of the one that follows."""
    parser = AnswerParser()
    assert not parser.feed(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n")
    assert not parser.end()
    assert not parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhi")
    assert parser.end()
    assert (parser.status, parser.body) == (200, b"hi")


def test_request() -> None:
    """Length of the body, not of the text around it."""
    whole = request_bytes(b"/user_tags", request_head("h", 80), b"{}")
    assert whole.startswith(b"POST /user_tags HTTP/1.1\r\nHost: h:80\r\n")
    assert whole.endswith(b"Content-Length: 2\r\n\r\n{}")
