"""The rules by which a verification tells a difference from none."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.log.ports import Record
from actors.log.ranges import clamp, records_between
from actors.log.reading import read_tag
from actors.tools.verify.aggregates import compare_minute
from actors.tools.verify.expected import ExpectedCounts, ExpectedProfiles, Kept, rolled_up
from actors.tools.verify.profiles import ProfileCheck
from actors.tools.verify.run import parse_offsets
from actors.tools.verify.snapshot import PAST_CAP, Snapshot
from serve_app.core.tag import UserTag
from tests.unit.actors.fakes import tag_json

MINUTE = 27_434_880
NAMES = ("there", "late", "never")


def tag(number: int = 0, **fields: Any) -> UserTag:
    second, millisecond = divmod(number, 1000)
    time = f"2022-03-01T00:{second // 60:02d}:{second % 60:02d}.{millisecond:03d}Z"
    return read_tag(Record(0, tag_json(time, **fields)))


class Stored:
    """One minute of tables that hold what they are given."""

    def __init__(self, full: Any, rolled: Any) -> None:
        self.full, self.rolled = full, rolled

    async def minute(self, minute: int) -> Any:
        return self.full, self.rolled

    def known(self, dimension: int, name: str, minute: int) -> str:
        return name


def compare(expected: ExpectedCounts, stored: Stored, exactly: bool) -> list[str]:
    taken: Any = stored
    _, found = asyncio.run(
        compare_minute(taken, MINUTE, expected, lambda partition, minute: exactly)
    )
    return [difference.kind for difference in found]


def counts(*tags: UserTag) -> ExpectedCounts:
    expected = ExpectedCounts()
    for one in tags:
        expected.add(0, one)
    return expected


def stored(*tags: UserTag) -> Stored:
    full = dict(counts(*tags).minutes[MINUTE])
    return Stored(full, rolled_up(full))


A, B = tag(price=5), tag(origin="other", price=9)


def test_rows_as_expected_are_no_difference() -> None:
    assert compare(counts(A, B), stored(A, B), exactly=True) == []


@pytest.mark.parametrize(
    ("there", "exact", "at_least"),
    [
        # A row is short: the full key, and four roll-ups.
        ([A], 5, 5),
        # One more of the same key, and of none that was expected.
        ([A, B, A], 5, 0),
        ([A, B, tag(origin="third")], 5, 0),
        # As many tags with another sum.
        ([A, tag(origin="other", price=8)], 5, 5),
    ],
)
def test_exactly_and_at_least(there: list[UserTag], exact: int, at_least: int) -> None:
    assert len(compare(counts(A, B), stored(*there), exactly=True)) == exact
    assert len(compare(counts(A, B), stored(*there), exactly=False)) == at_least


def test_a_name_that_got_its_id_late_counts_with_those_that_have_none() -> None:
    """Up to the hour in which it got it: its tags may be under either id."""
    taken = Snapshot(cast(Any, None))
    taken._complete_from = {(1, "there"): 0, (1, "late"): 7}
    taken._others_before = {1: 9}
    hours = {name: [taken.known(1, name, hour * 60) for hour in (6, 7, 8, 9)] for name in NAMES}
    assert hours == {
        "there": ["there"] * 4,
        "late": [PAST_CAP, "late", "late", "late"],
        # Without an id, where no tag is under none any more: its rows are missing.
        "never": [PAST_CAP] * 3 + ["never"],
    }
    assert taken.known(2, "never", 0) == "never"


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3)), min_size=1, max_size=900))
def test_the_newest_200_are_kept(events: list[tuple[int, int]]) -> None:
    expected, all_tags = ExpectedProfiles(), set()
    for number, price in events:
        one = tag(number, price=price)
        expected.add(one, 0)
        all_tags.add((one.time_ms, one.product_info.price))
    found = expected.newest(("c", "VIEW"))
    times = sorted((time_ms for time_ms, _ in all_tags), reverse=True)[:200]
    assert [kept.time_ms for kept in found] == times


def kept(*times: int) -> list[Kept]:
    return [Kept(time, b"m%d" % time) for time in times]


def differ(wanted: list[Kept], there: list[Kept], *, whole: bool) -> tuple[set[Kept], set[Kept]]:
    shards: Any = None
    return ProfileCheck(shards, ExpectedProfiles(), whole=whole)._differ(wanted, there)


def test_a_tag_may_be_missing_only_below_200_newer_ones() -> None:
    full = kept(*range(100, 300))
    assert differ(kept(50), full, whole=False) == (set(), set())
    assert differ(kept(50), full[1:], whole=False) == (set(kept(50)), set())
    above = kept(150)[0]
    without = [one for one in full if one != above] + kept(301)
    assert differ([above], without, whole=False) == ({above}, set())


def test_a_tag_too_many_shows_if_the_log_is_whole() -> None:
    assert differ(kept(1), kept(1, 2), whole=True) == (set(), set(kept(2)))
    assert differ(kept(1), kept(1, 2), whole=False) == (set(), set())
    # More than 200 are wrong in any case: nobody trimmed.
    assert differ([], kept(*range(201)), whole=False) == (set(), set(kept(0)))


def test_a_member_under_another_score_is_missing() -> None:
    moved = [Kept(2, b"m1")]
    assert differ(kept(1), moved, whole=False)[0] == set(kept(1))


@pytest.mark.parametrize(
    ("text", "found"), [("120", 120), ("0:120,1:80", {0: 120, 1: 80}), (" 7", 7)]
)
def test_offsets_are_read(text: str, found: object) -> None:
    assert parse_offsets(text, "--from") == found


@pytest.mark.parametrize("text", ["x", "-1", "0:1,", "0:1:2", "0:x", ":", "1.5", ""])
def test_offsets_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="--to"):
        parse_offsets(text, "--to")


class Log:
    """Three partitions; a reader that hands out some records at a time, of any partition."""

    def __init__(self, ends: dict[int, int]) -> None:
        self.ends = ends
        self.at: dict[int, int] = {}

    def seek(self, offsets: dict[int, int]) -> None:
        self.at = dict(offsets)

    async def fetch(self, max_records: int, timeout_s: float) -> list[tuple[int, Record]]:
        portion = []
        for number, at in self.at.items():
            for offset in range(at, min(at + 3, self.ends[number])):
                portion.append((number, Record(offset, b"")))
            self.at[number] = min(at + 3, self.ends[number])
        return portion


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=3))
def test_what_lies_between_is_read_once(ranges: list[tuple[int, int, int]]) -> None:
    starts, ends, log_ends = {}, {}, {}
    for number, numbers in enumerate(ranges):
        starts[number], ends[number], log_ends[number] = sorted(numbers)
    reader: Any = Log(log_ends)

    async def read() -> list[tuple[int, int]]:
        return [
            (number, record.offset)
            async for portion in records_between(reader, starts, ends)
            for number, record in portion
        ]

    assert sorted(asyncio.run(read())) == [
        (number, offset) for number in starts for offset in range(starts[number], ends[number])
    ]


def test_clamp() -> None:
    assert clamp({0: 5, 1: 1, 2: 9}, dict.fromkeys(range(3), 2), dict.fromkeys(range(3), 7)) == {
        0: 5,
        1: 2,
        2: 7,
    }
