"""Records of the log as tags and erasures, and what is neither."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.log.entries import MAX_REASON, UnreadableRecord, cookie_of, read_entry, tag_of
from actors.log.ports import Record
from serve_app.core.erasure import Erasure, encode_erasure
from serve_app.core.tag import UserTag
from tests.fakes.actors import tag_json
from tests.unit.core.strategies import user_tags

TAG_MS = 1_646_092_801_500
ERASURE = Erasure("c", {0: 5, 2: 7}, 1_000)
JSON, ERASE = ("format", b"json/1"), ("format", b"erase/1")


@pytest.mark.parametrize("headers", [[], [JSON], [("request_id", b"x"), JSON]])
def test_a_tag_comes_with_its_event_time(headers: list[tuple[str, bytes]]) -> None:
    entry = read_entry(Record(0, tag_json(cookie="x"), 0, headers))
    assert isinstance(entry, tuple)
    tag, time_ms = entry
    assert isinstance(tag, UserTag)
    assert (tag.cookie, time_ms) == ("x", TAG_MS)


def test_an_erasure_is_told_by_its_header_alone() -> None:
    value = encode_erasure(ERASURE)
    assert read_entry(Record(0, value, 0, [ERASE])) == ERASURE
    with pytest.raises(UnreadableRecord):
        read_entry(Record(0, value))
    with pytest.raises(UnreadableRecord):
        read_entry(Record(0, tag_json(), 0, [ERASE]))


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, [], "no value"),
        (None, [ERASE], "no value"),
        (b"{", [], "JSON"),
        (tag_json(action="LOOK"), [], "action"),
        (tag_json(), [("format", b"avro/7")], "avro/7"),
        (tag_json(), [("format", None)], "unknown format"),
        (b"{", [ERASE], "not an erasure"),
        (b'{"cookie": "c", "before": {"0": -1}}', [ERASE], "before"),
    ],
)
def test_what_cannot_be_read_names_the_reason(
    value: bytes | None, headers: list[tuple[str, bytes | None]], reason: str
) -> None:
    with pytest.raises(UnreadableRecord, match=reason):
        read_entry(Record(0, value, 0, headers))


@given(user_tags)
def test_the_quick_look_finds_the_cookie_that_the_whole_record_has(tag: UserTag) -> None:
    record = Record(0, msgspec.json.encode(tag))
    assert cookie_of(record) == tag.cookie
    assert tag_of(record) in (None, tag)


def test_of_two_cookies_in_a_record_both_looks_take_the_same() -> None:
    value = tag_json(cookie="first").replace(b"}}", b'}, "cookie": "second"}')
    tag = tag_of(Record(0, value))
    assert tag is not None
    assert cookie_of(Record(0, value)) == tag.cookie


@pytest.mark.parametrize(
    "record",
    [
        Record(0, None),
        Record(0, b""),
        Record(0, b"[]"),
        Record(0, b'{"cookie": 5}'),
        Record(0, b'{"cookie": "\\ud800"}'),
        Record(0, b"[" * 100_000),
        Record(0, b"\xff"),
        # Whose it is, the whole record says.
        Record(0, encode_erasure(ERASURE), 0, [ERASE]),
        Record(0, tag_json(), 0, [("format", b"avro/7")]),
    ],
)
def test_the_quick_look_leaves_to_the_whole_what_is_not_simple(record: Record) -> None:
    assert cookie_of(record) is None


@given(
    value=st.none() | st.binary(max_size=200) | st.just(tag_json()),
    headers=st.lists(
        st.tuples(st.sampled_from(["format", "x"]), st.none() | st.binary(max_size=80))
    ),
)
def test_whatever_stands_in_the_log_is_an_entry_or_unreadable_for_one_line(
    value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    record = Record(0, value, 0, headers)
    try:
        entry = read_entry(record)
    except UnreadableRecord as problem:
        entry, reason = None, str(problem)
    else:
        reason = "none"
    assert 0 < len(reason) <= MAX_REASON
    cookie = cookie_of(record)
    assert cookie is None or not isinstance(entry, tuple) or cookie == entry[0].cookie
    assert tag_of(record) == (entry[0] if isinstance(entry, tuple) else None)
