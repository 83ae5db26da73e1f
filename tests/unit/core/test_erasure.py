"""Erasures: the record in the log and the mark beside the profile."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.erasure import (
    Erasure,
    Mark,
    decode_erasure,
    decode_mark,
    encode_erasure,
)
from tests.unit.core.strategies import cookies

befores = st.dictionaries(st.integers(0, 1_000), st.integers(0, 2**62), max_size=8)
topic_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
marks = st.builds(Mark, topic_ids | st.just(""), befores)
erasures = st.builds(Erasure, cookies, befores, st.integers(0, 2**62))


@given(erasures)
def test_a_record_reads_back_as_it_was_written(erasure: Erasure) -> None:
    assert decode_erasure(encode_erasure(erasure)) == erasure


def test_the_record_is_plain_json() -> None:
    value = json.loads(encode_erasure(Erasure("c", {1: 80, 0: 120}, 5)))
    assert value == {"cookie": "c", "before": {"0": 120, "1": 80}, "keep_ms": 5}


@given(marks)
def test_a_mark_reads_back_as_it_was_written(mark: Mark) -> None:
    assert decode_mark(mark.encode().encode()) == mark


def test_a_mark_is_short_and_in_order() -> None:
    mark = Erasure("c", {1: 80, 0: 120}).mark("ab" * 16)
    assert mark.encode() == "0:120,1:80,@" + "ab" * 16


@given(marks)
def test_versions_that_knew_no_topic_read_the_offsets_of_a_mark(mark: Mark) -> None:
    """By what those matched: that of the tool, then that of the scripts."""
    text = mark.encode()
    pairs = (pair.partition(":") for pair in text.split(","))
    by_tool = {int(p): int(at) for p, _, at in pairs if p.isdecimal() and at.isdecimal()}
    by_script = {int(p): int(at) for p, at in re.findall(r",([0-9]+):([0-9]+)", "," + text)}
    assert by_tool == by_script == mark.before


@given(marks, marks)
def test_a_mark_covers_what_it_is_as_far_as_in_its_topic(done: Mark, wanted: Mark) -> None:
    assert done.covers(done)
    far = all(done.before.get(p, -1) >= at for p, at in wanted.before.items())
    same = Mark(done.topic_id, wanted.before)
    assert done.covers(same) == far
    assert done.covers(wanted) == (far and done.topic_id == wanted.topic_id)


@pytest.mark.parametrize("text", [b"", b"1646092800000", b"0:5", b"0:5,1:7", b"\xff,:,1:x"])
def test_a_mark_of_an_older_version_shows_no_erasure_of_a_topic(text: bytes) -> None:
    """Its offsets may be those of a topic that is gone, or it is a time of arrival."""
    assert not decode_mark(text).covers(Mark("ab" * 16, {0: 0}))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_mark(text: bytes) -> None:
    mark = decode_mark(text)
    assert decode_mark(mark.encode().encode()).before == mark.before


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not an erasure"),
        (b"\xff", "not an erasure"),
        (b"[" * 100_000, "not an erasure"),
        (b"[]", "not an erasure"),
        (b'{"before": {}}', "cookie"),
        (b'{"cookie": "c"}', "before"),
        (b'{"cookie": "", "before": {}}', "cookie"),
        (b'{"cookie": "c", "before": {"x": 1}}', "before"),
        (b'{"cookie": "c", "before": {"0": "1"}}', "before"),
        (b'{"cookie": "c", "before": {"0": 1.5}}', "before"),
        (b'{"cookie": "c", "before": {"0": -1}}', "before"),
        (b'{"cookie": "c", "before": {"-1": 1}}', "before"),
        (b'{"cookie": "c", "before": {}, "keep_ms": -1}', "keep_ms"),
    ],
)
def test_another_shape_is_refused_with_the_field(value: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_erasure(value)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_erasure_or_refused(value: bytes) -> None:
    try:
        erasure = decode_erasure(value)
    except ValueError:
        return
    assert decode_erasure(encode_erasure(erasure)) == erasure
