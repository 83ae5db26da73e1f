"""Positions: what is stored, whose it is, and what it says of a cookie's slot."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.core.position import (
    Owner,
    ViewPosition,
    agreed,
    decode_fields,
    decode_position,
    field_of,
    own_copies,
    reached_by_slot,
)
from serve_app.core.slots import SLOTS, ranges_of, slots_of

TOPIC = "ab" * 16
ids = st.sampled_from(["a" * 40, "b" * 40, "c" * 40])
replids = st.sampled_from(["", "1" * 40, "2" * 40, "3" * 40])
owners = st.builds(Owner, ids, replids, replids)
offsets = st.integers(0, 2**62)
ranges = st.sets(st.integers(0, SLOTS - 1), max_size=30).map(ranges_of)
positions = st.builds(
    ViewPosition,
    topic_id=st.sampled_from([TOPIC, "0" * 32]),
    next_offset=offsets,
    slots=ranges,
    owner=owners.map(lambda owner: owner.text),
    since=offsets,
)


def position(offset: int, slots: range, owner: str = "a", **changes: int) -> ViewPosition:
    return ViewPosition(TOPIC, offset, ranges_of(slots), f"{owner}/1", **changes)


@given(positions)
@example(ViewPosition(TOPIC, 0, (), "/"))
def test_a_position_reads_back_as_it_was_written(one: ViewPosition) -> None:
    text = one.encode()
    assert decode_position(text.encode()) == one
    # What the scripts look for: the topic, the offset and since, with a colon behind each.
    topic_id, offset, since, _ = text.split(":", 3)
    assert (topic_id, int(offset), int(since)) == (one.topic_id, one.next_offset, one.since)


@pytest.mark.parametrize(
    "text", [b"", b"a:1", b"a:x:0:o:1", b"a:1:0:o:2-1", b"a:1:0:o:1:2", b"\xff:1:0:o:1"]
)
def test_another_shape_is_refused_and_left_out(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_position(text)
    good = position(5, range(3))
    assert decode_fields([b"0", text, b"1", good.encode().encode()]) == {"1": good}


@given(st.dictionaries(st.integers(0, 99).map(str), positions))
def test_fields_of_a_hash_become_positions(stored: dict[str, ViewPosition]) -> None:
    assert decode_fields(flat(stored)) == stored


def test_arrivals_have_a_field_of_their_own() -> None:
    assert (field_of(12), field_of(12, arrivals=True)) == ("12", "12+")


@given(owners, owners)
def test_a_position_is_that_of_the_same_node_or_of_the_master_before(
    writer: Owner, now: Owner
) -> None:
    written = ViewPosition(TOPIC, 1, (), writer.text)
    same_history = writer.replid != "" and writer.replid in (now.replid, now.second_replid)
    assert now.wrote(written) == (writer.node_id == now.node_id or same_history)


def test_a_master_knows_its_own_after_a_start_and_after_a_fail_over() -> None:
    before = Owner("a" * 40, "1" * 40, "0" * 40)
    written = ViewPosition(TOPIC, 1, (), before.text)
    # A node that starts without its data keeps its id, and has a new replication id.
    assert Owner("a" * 40, "2" * 40).wrote(written)
    # A replica that is promoted has a new one, and keeps its master's beside it.
    assert Owner("b" * 40, "2" * 40, "1" * 40).wrote(written)
    # A slot that moved to a node which has nothing to do with either.
    assert not Owner("b" * 40, "2" * 40, "0" * 40).wrote(written)


def flat(stored: dict[str, ViewPosition]) -> list[bytes]:
    """As HGETALL answers."""
    return [part for name, one in stored.items() for part in (name.encode(), one.encode().encode())]


def test_what_another_shard_wrote_says_nothing_of_this_one() -> None:
    stored = {"0": position(7, range(10), "b"), "1": position(4, range(10))}
    assert own_copies([flat(stored), []], {"a", "c"}) == [{"1": stored["1"]}, {}]
    assert own_copies([flat(stored), flat(stored)], {"a", "b"}) == [stored]


some_fields = st.dictionaries(st.sampled_from(["0", "0+", "1", "1+"]), positions)


class TestCopies:
    @given(some_fields, st.integers(1, 4))
    def test_that_are_the_same_say_what_each_of_them_says(
        self, stored: dict[str, ViewPosition], count: int
    ) -> None:
        assert agreed([stored] * count) == stored

    @given(some_fields)
    def test_that_are_empty_have_no_part(self, stored: dict[str, ViewPosition]) -> None:
        assert agreed([{}, stored, {}]) == stored

    def test_of_one_partition_say_nothing_of_another(self) -> None:
        one, other = {"0": position(7, range(3))}, {"1": position(4, range(3))}
        assert agreed([one, other]) == one | other

    @given(st.lists(some_fields, max_size=4))
    def test_claim_no_more_together_than_any_of_them(
        self, copies: list[dict[str, ViewPosition]]
    ) -> None:
        for name, together in agreed(copies).items():
            for copy in copies:
                if not {name.rstrip("+"), name.rstrip("+") + "+"} & copy.keys():
                    continue
                one = copy[name]
                assert together.topic_id == one.topic_id
                assert together.next_offset <= one.next_offset
                assert slots_of(together.slots) <= slots_of(one.slots)
                assert together.since >= one.since


class TestReached:
    def test_the_farther_lane_of_a_slot_counts(self) -> None:
        stored = {
            "0": position(7, range(10)),
            "0+": position(3, range(5)),
            "1": position(2, range(9)),
        }
        assert reached_by_slot(stored, 4, "s").offsets == {0: 7, 1: 2}
        stored["0+"] = position(9, range(5))
        assert reached_by_slot(stored, 4, "s").offsets == {0: 9, 1: 2}

    def test_a_slot_that_only_arrives_has_what_the_arrivals_have(self) -> None:
        stored = {"0": position(7, range(10)), "0+": position(3, range(10, 12))}
        reached = reached_by_slot(stored, 11, "s")
        assert (reached.offsets, reached.topic_ids) == ({0: 3}, frozenset({TOPIC}))

    def test_a_loss_is_told_with_the_shard_and_the_offset(self) -> None:
        stored = {"0": position(7, range(10), since=5), "1": position(7, range(10))}
        reached = reached_by_slot(stored, 4, "10.0.0.1:7")
        assert "10.0.0.1:7" in reached.lost
        assert "partition 0" in reached.lost
        assert "offset 5" in reached.lost
        # It is none of other slots' business.
        assert reached_by_slot(stored, 11, "s").lost == ""

    def test_two_topics_are_both_told(self) -> None:
        other = ViewPosition("0" * 32, 9, ((0, 9),), "a/1")
        reached = reached_by_slot({"0": position(7, range(10)), "1": other}, 4, "s")
        assert reached.topic_ids == {TOPIC, "0" * 32}

    @given(
        st.dictionaries(st.sampled_from(["0", "0+", "1", "1+", "2"]), positions),
        st.integers(0, SLOTS - 1),
        st.sets(ids),
    )
    def test_nothing_is_reached_that_no_position_says(
        self, stored: dict[str, ViewPosition], slot: int, among: set[str]
    ) -> None:
        reached = reached_by_slot(agreed(own_copies([flat(stored)], among)), slot, "s")
        speaking = [
            (int(name.rstrip("+")), one)
            for name, one in stored.items()
            if any(first <= slot <= last for first, last in one.slots)
            and one.owner.split("/")[0] in among
        ]
        assert reached.offsets.keys() == {partition for partition, _ in speaking}
        for partition, offset in reached.offsets.items():
            assert offset == max(one.next_offset for p, one in speaking if p == partition)
        assert reached.topic_ids == {one.topic_id for _, one in speaking}
        assert bool(reached.lost) == any(one.since for _, one in speaking)
