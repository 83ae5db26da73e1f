"""Compressed bodies: as good as others, and never more than the limit in memory."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.errors import BodyTooLarge, UnknownEncoding, Unreadable
from serve_app.core.tag import MAX_BODY_BYTES
from serve_app.http.encoding import decoded, encoding_of
from tests.fakes.http import BODY, Client
from tests.tags import decode_tag

LIMIT = 1_000
GZIP = (b"content-encoding", b"gzip")


@given(members=st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_what_was_packed_comes_out(members: list[bytes]) -> None:
    packed = b"".join(map(gzip.compress, members))
    assert decoded(packed, b"gzip", LIMIT) == b"".join(members)


@given(body=st.binary(max_size=2_000), cut=st.integers(1, 30), tail=st.binary(min_size=1))
def test_no_more_no_less_and_nothing_after_it(body: bytes, cut: int, tail: bytes) -> None:
    packed = gzip.compress(body)
    if len(body) > LIMIT:
        with pytest.raises(BodyTooLarge):
            decoded(packed, b"gzip", LIMIT)
        return
    assert decoded(packed, b"gzip", LIMIT) == body
    with pytest.raises(Unreadable):
        decoded(packed[:-cut], b"gzip", LIMIT)
    if not tail.startswith(b"\x1f\x8b"):
        with pytest.raises(Unreadable):
            decoded(packed + tail, b"gzip", LIMIT)


@given(body=st.binary(max_size=100))
def test_what_is_no_gzip_is_unreadable_and_nothing_worse(body: bytes) -> None:
    try:
        decoded(body, b"gzip", LIMIT)
    except (Unreadable, BodyTooLarge):
        return
    assert body.startswith(b"\x1f\x8b")


def test_a_body_that_inflates_a_thousandfold_takes_no_memory() -> None:
    bomb = gzip.compress(b" " * 30_000_000)
    assert len(bomb) < MAX_BODY_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match=str(MAX_BODY_BYTES)):
            decoded(bomb, b"gzip", MAX_BODY_BYTES)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 5 * MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ([], b""),
        ([b"identity"], b""),
        ([b""], b""),
        ([b" GZip "], b"gzip"),
        ([b"x-gzip"], b"x-gzip"),
        ([b"identity", b"gzip"], b"gzip"),
        ([b"gzip", b"gzip"], b"gzip, gzip"),
        ([b"br"], b"br"),
        ([b"\xff"], b"\xff"),
    ],
)
def test_the_encoding_is_what_all_its_headers_say(sent: list[bytes], read: bytes) -> None:
    headers = [(b"host", b"x"), *((b"content-encoding", one) for one in sent)]
    assert encoding_of({"headers": headers}) == read
    if read and read not in (b"gzip", b"x-gzip"):
        with pytest.raises(UnknownEncoding):
            decoded(gzip.compress(b"x"), read, LIMIT)


async def test_a_gzipped_tag_is_taken_and_kept_as_it_was_before() -> None:
    client = Client()
    packed = gzip.compress(BODY)
    answer = await client.request("POST", "/user_tags", [packed[:9], packed[9:]], headers=[GZIP])
    assert answer.status == 204
    assert client.ingest.accepted == [(decode_tag(BODY), BODY)]


def gzipped(body: bytes) -> bytes:
    """Without the time of day, which would be part of the tests' names: two workers must agree."""
    return gzip.compress(body, mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzipped(b" " * (MAX_BODY_BYTES + 1)), b"gzip", 413),
        (gzipped(b"{}"), b"gzip", 422),
        (gzipped(BODY)[:-1], b"gzip", 400),
        (BODY, b"gzip", 400),
        (zlib.compress(BODY), b"deflate", 415),
        (BODY, b"br", 415),
        (gzipped(BODY), b"", 400),
    ],
)
async def test_what_cannot_be_unpacked_is_refused_and_stored_nowhere(
    body: bytes, encoding: bytes, status: int
) -> None:
    client = Client()
    headers = [(b"content-encoding", encoding)]
    answer = await client.request("POST", "/user_tags", [body], headers=headers)
    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("accept-encoding") == ("gzip" if status == 415 else None)
    assert client.ingest.accepted == []


async def test_a_querys_body_is_not_looked_at_whatever_it_is_packed_with() -> None:
    target = "/user_profiles/me?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
    headers = [(b"content-encoding", b"br")]
    assert (await Client().request("POST", target, [b"x"], headers=headers)).status == 200
