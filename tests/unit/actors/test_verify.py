"""The rules by which a verification tells a difference from none."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.log.ports import Record
from actors.log.ranges import clamp, records_between
from actors.tools.positions import ShardPositions
from actors.tools.verify.aggregates import compare_minute
from actors.tools.verify.expected import ExpectedCounts, ExpectedProfiles, Kept, Place, rolled_up
from actors.tools.verify.positions import differences
from actors.tools.verify.profiles import ProfileCheck
from actors.tools.verify.run import parse_offsets
from actors.tools.verify.snapshot import PAST_CAP, TablesSnapshot
from serve_app.core.erasure import Erasure
from serve_app.core.member import encode_member
from serve_app.core.position import ViewPosition
from serve_app.core.slots import Ranges
from serve_app.core.tag import UserTag
from tests.fakes.actors import tag_json
from tests.tags import decode_tag

MINUTE = 27_434_880
NAMES = ("there", "late", "never")


def tag(number: int = 0, **fields: Any) -> UserTag:
    second, millisecond = divmod(number, 1000)
    time = f"2022-03-01T00:{second // 60:02d}:{second % 60:02d}.{millisecond:03d}Z"
    return decode_tag(tag_json(time, **fields))


class StoredRows:
    """One minute of tables that hold what they are given."""

    def __init__(self, full: Any, rolled: Any) -> None:
        self.full, self.rolled = full, rolled

    async def minute(self, minute: int) -> Any:
        return self.full, self.rolled

    def known(self, dimension: int, name: str, minute: int) -> str:
        return name


def compare(expected: ExpectedCounts, stored: StoredRows, exactly: bool) -> list[str]:
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


def stored(*tags: UserTag) -> StoredRows:
    full = dict(counts(*tags).minutes[MINUTE])
    return StoredRows(full, rolled_up(full))


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
    taken = TablesSnapshot(cast(Any, None))
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
        expected.add(one, Place(0, number))
        all_tags.add((one.time_ms, one.product_info.price))
    found = expected.newest(("c", "VIEW"))
    times = sorted((time_ms for time_ms, _ in all_tags), reverse=True)[:200]
    assert [kept.time_ms for kept in found] == times


Event = tuple[int, int | None]
"""Kafka partition, and which of some tags; None is an erasure."""


@given(
    st.lists(st.tuples(st.integers(0, 1), st.none() | st.integers(0, 3)), max_size=30), st.data()
)
def test_what_an_erasure_leaves(events: list[Event], data: st.DataObject) -> None:
    """However the partitions are read, only the offsets decide."""
    log: dict[int, list[UserTag | Erasure]] = {0: [], 1: []}
    for partition, number in events:
        if number is None:
            erasure = Erasure("c", {p: len(records) for p, records in log.items()})
            log[0].append(erasure)
            log[1].append(erasure)
        else:
            log[partition].append(tag(number))
    last = {0: 0, 1: 0}
    for records in log.values():
        for record in records:
            if isinstance(record, Erasure):
                last = {p: max(last[p], record.before[p]) for p in last}
    everything = {
        (one.time_ms, partition, offset)
        for partition, records in log.items()
        for offset, one in enumerate(records)
        if isinstance(one, UserTag)
    }
    alive = {time_ms for time_ms, p, offset in everything if offset >= last[p]}

    expected, at = ExpectedProfiles(), {0: 0, 1: 0}
    while left := [p for p in log if at[p] < len(log[p])]:
        partition = data.draw(st.sampled_from(left))
        record = log[partition][at[partition]]
        place = Place(partition, at[partition])
        if isinstance(record, Erasure):
            expected.erase(record, place)
        else:
            expected.add(record, place)
        at[partition] += 1
    assert {one.time_ms for one in expected.newest(("c", "VIEW"))} == alive
    dead = {time_ms for time_ms, _, _ in everything} - alive
    members = {encode_member(tag(n), tag(n).time_ms) for n in range(4) if tag(n).time_ms in dead}
    assert expected.erased(("c", "VIEW")) == members


def test_what_the_position_does_not_cover_is_late() -> None:
    expected, shards = ExpectedProfiles(), None
    for number, place in ((0, Place(0, 5)), (1, Place(0, 9)), (1, Place(1, 2))):
        expected.add(tag(number), place)
    one, twice = sorted(expected.newest(("c", "VIEW")))
    check = ProfileCheck(shards, expected, whole=True)  # type: ignore[arg-type]

    def late(reached: dict[int, int]) -> tuple[set[Kept], int]:
        suspect = check._sort_out(("c", "VIEW"), {one, twice}, set(), reached)
        return suspect.missing, suspect.late

    assert late({}) == (set(), 2)
    assert late({0: 5, 1: 2}) == (set(), 2)
    assert late({0: 6, 1: 2}) == ({one}, 1)
    # A tag that stands in two places must be there once either is applied.
    assert late({0: 5, 1: 3}) == ({twice}, 1)


def test_what_was_erased_is_late_until_the_position_is_past_the_erasure() -> None:
    expected = ExpectedProfiles()
    expected.add(tag(0), Place(0, 5))
    there = set(expected.newest(("c", "VIEW")))
    expected.erase(Erasure("c", {0: 6}), Place(0, 7))
    check = ProfileCheck(None, expected, whole=False)  # type: ignore[arg-type]
    before = check._sort_out(("c", "VIEW"), set(), there, {0: 7})
    assert (before.extra, before.late) == (set(), 1)
    after = check._sort_out(("c", "VIEW"), set(), there, {0: 8})
    assert (after.extra, after.late) == (there, 0)


def position(at: int, slots: Ranges, *, topic: str = "t", since: int = 0) -> ViewPosition:
    return ViewPosition(topic, at, slots, "owner/r", since)


ALL: Ranges = ((0, 9),)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"0": position(5, ALL)}, []),
        ({"0": position(5, ((0, 7),)), "0+": position(2, ((8, 9),))}, []),
        ({}, ["none"]),
        ({"0": position(5, ((0, 7),)), "0+": position(2, ((9, 9),))}, ["none for 8"]),
        ({"0": position(5, ALL, topic="other")}, ["topic id other"]),
        ({"0": position(11, ALL)}, ["11"]),
        ({"0": position(1, ALL)}, ["1"]),
        ({"0": position(5, ALL, since=2)}, ["what came before 2 is unknown"]),
        ({"1": position(5, ALL)}, ["none"]),
    ],
)
def test_positions_against_the_log(fields: dict[str, ViewPosition], wrong: list[str]) -> None:
    shard = ShardPositions("node", ALL, fields)
    found = differences([shard], "t", {0: 2}, {0: 10})
    assert [one.stored for one in found] == wrong


@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.sets(st.integers(0, 9)),
    st.sets(st.integers(0, 9)),
    st.none() | st.sets(st.integers(0, 12), min_size=1),
)
def test_a_shard_is_as_far_as_its_last_slot(
    main_at: int, arrivals_at: int, main: set[int], arrivals: set[int], wanted: set[int] | None
) -> None:
    def ranges(slots: set[int]) -> Ranges:
        return tuple((slot, slot) for slot in sorted(slots))

    fields = {
        "0": position(main_at, ranges(main)),
        "0+": position(arrivals_at, ranges(arrivals)),
        "1": position(9, ALL),
    }
    shard = ShardPositions("node", ALL, fields)
    slots = {slot for slot in range(10) if wanted is None or slot in wanted}
    by_slot = [shard.reached(slot).get(0) for slot in slots]
    known = [at for at in by_slot if at is not None]
    least = min(known) if known and len(known) == len(by_slot) else None
    assert shard.next_offset(0, wanted) == least
    assert shard.without(0) == set(range(10)) - main - arrivals


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


class PortionedLog:
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
    reader: Any = PortionedLog(log_ends)

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
