"""Erasures: the record in the log and the mark beside the profile."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.erasure import Erasure, decode_erasure, encode_erasure
from tests.unit.core.strategies import cookies

befores = st.dictionaries(st.integers(0, 1_000), st.integers(0, 2**62), max_size=8)
erasures = st.builds(Erasure, cookies, befores, st.integers(0, 2**62))


@given(erasures)
def test_a_record_reads_back_as_it_was_written(erasure: Erasure) -> None:
    assert decode_erasure(encode_erasure(erasure)) == erasure


def test_the_record_is_plain_json() -> None:
    value = json.loads(encode_erasure(Erasure("c", {1: 80, 0: 120}, 5)))
    assert value == {"cookie": "c", "before": {"0": 120, "1": 80}, "keep_ms": 5}


@given(befores)
def test_the_mark_holds_each_partition_once_in_order(before: dict[int, int]) -> None:
    mark = Erasure("c", before).mark
    pairs = [tuple(map(int, part.split(":"))) for part in mark.split(",") if part]
    assert pairs == sorted(before.items())


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
