"""Slots of a Redis Cluster: as Redis counts them, and as runs."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from serve_app.core.names import cookie_slot, escape_cookie, profile_key, view_key
from serve_app.core.slots import (
    HOMES,
    SLOTS,
    contains,
    format_ranges,
    hash_slot,
    home_slots,
    near_homes,
    parse_ranges,
    ranges_of,
    slots_of,
    tag_of_slot,
    tags_of_slots,
)
from tests.unit.core.strategies import actions, cookies

numbers = st.integers(0, SLOTS - 1)
few_slots = st.sets(st.integers(0, 40) | st.integers(SLOTS - 20, SLOTS - 1) | numbers, max_size=60)


@given(st.binary(min_size=1, max_size=40).filter(lambda tag: b"{" not in tag))
@example(b"123456789")
def test_slots_are_those_of_redis(tag: bytes) -> None:
    assert hash_slot(tag) == key_slot(tag)


@given(cookies, actions)
@example("}", "VIEW")
@example("{", "BUY")
@example("%7D", "VIEW")
def test_a_cookies_slot_is_that_of_its_keys(cookie: str, action: str) -> None:
    assert cookie_slot(cookie) == key_slot(profile_key(cookie, action).encode())
    assert cookie_slot(cookie) == hash_slot(escape_cookie(cookie).encode())


@given(numbers)
def test_every_slot_has_a_key_of_positions(slot: int) -> None:
    assert hash_slot(tag_of_slot(slot).encode()) == slot
    assert key_slot(view_key(slot).encode()) == slot


@given(few_slots)
@example(set())
@example(set(range(SLOTS)))
def test_runs_hold_just_their_slots(slots: set[int]) -> None:
    ranges = ranges_of(slots)
    assert slots_of(ranges) == slots
    assert all(first <= last for first, last in ranges)
    # Apart: two runs that touch would be one, and equal sets would not be equal ranges.
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@given(few_slots, numbers)
def test_a_run_contains_its_slots_and_no_other(slots: set[int], other: int) -> None:
    ranges = ranges_of(slots)
    assert contains(ranges, other) == (other in slots)
    assert all(contains(ranges, slot) for slot in slots)


@given(few_slots)
def test_text_of_runs_reads_back(slots: set[int]) -> None:
    ranges = ranges_of(slots)
    assert parse_ranges(format_ranges(ranges)) == ranges


def test_text_of_runs_is_as_redis_writes_it() -> None:
    assert format_ranges(((0, 5_460), (7_000, 7_000))) == "0-5460,7000"
    assert format_ranges(()) == ""


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "-1",
        "1-2-3",
        "2-1",
        str(SLOTS),
        f"5-{SLOTS}",
        "5,4",
        "5,5",
        # One run, in two.
        "5,6",
        "1-3,4-5",
    ],
)
def test_what_is_no_list_of_runs_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"slot ranges|invalid literal"):
        parse_ranges(text)


@given(few_slots)
def test_homes_are_slots_of_the_shard(slots: set[int]) -> None:
    homes = home_slots(ranges_of(slots))
    assert len(set(homes)) == len(homes) == min(HOMES, len(slots))
    assert set(homes) <= slots


@given(few_slots, numbers)
def test_a_slot_that_is_no_home_may_go_without_a_change(slots: set[int], other: int) -> None:
    homes = home_slots(ranges_of(slots))
    for slot in (slots | {other}) - set(homes):
        assert home_slots(ranges_of(slots - {slot})) == homes


@given(few_slots.filter(lambda slots: len(slots) > HOMES), st.data())
def test_a_home_that_goes_leaves_the_others_where_they_were(
    slots: set[int], data: st.DataObject
) -> None:
    homes = home_slots(ranges_of(slots))
    gone = data.draw(st.sampled_from(homes))
    after = home_slots(ranges_of(slots - {gone}))
    stayed = [home for home in homes if home != gone]
    assert list(after[: len(stayed)]) == stayed
    assert gone not in after


@given(few_slots.filter(lambda slots: len(slots) > 2 * HOMES), st.data())
def test_what_was_a_home_before_some_slots_came_is_near_the_homes(
    slots: set[int], data: st.DataObject
) -> None:
    came = data.draw(st.sets(st.sampled_from(sorted(slots)), max_size=HOMES))
    before = home_slots(ranges_of(slots - came))
    near = near_homes(ranges_of(slots))
    assert set(before) <= set(near)
    assert near[:HOMES] == home_slots(ranges_of(slots))


def test_tags_of_all_slots_are_those_of_each() -> None:
    tags = tags_of_slots()
    assert len(tags) == SLOTS
    assert all(hash_slot(tag.encode()) == slot for slot, tag in enumerate(tags))
    assert [tags[slot] for slot in (0, 5, SLOTS - 1)] == [
        tag_of_slot(slot) for slot in (0, 5, SLOTS - 1)
    ]


def test_homes_of_the_shards_of_a_cluster_are_spread() -> None:
    """The weights have no pattern that would put all homes next to each other."""
    homes = [home_slots(((n * 100, n * 100 + 99),)) for n in range(160)]
    assert len({slot % 100 for pair in homes for slot in pair}) > 50
