"""The rules of the tools that change profiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.tools.erase.kept_records import KeptRecords
from actors.tools.erase.run import DAY_MS, keep_ms, mark_covers
from actors.tools.positions import ShardPositions
from actors.tools.rebuild.errors import RebuildRefused
from actors.tools.rebuild.profiles import applied, check_log_is_whole
from serve_app.core.erasure import Erasure
from serve_app.core.position import ViewPosition

Offsets = st.dictionaries(st.integers(0, 12), st.integers(0, 2**60), min_size=1, max_size=5)


@given(Offsets, Offsets)
def test_a_mark_covers_what_it_is_as_far_as(done: dict[int, int], wanted: dict[int, int]) -> None:
    mark = Erasure("c", done).mark.encode()
    assert mark_covers(mark, done)
    assert mark_covers(mark, wanted) == all(done.get(p, -1) >= at for p, at in wanted.items())


def test_a_mark_of_an_older_version_covers_nothing() -> None:
    # An arrival time, from when nothing of an erasure was in the log.
    assert not mark_covers(b"1646092800000", {0: 0})
    assert not mark_covers(b"", {0: 0})


@pytest.mark.parametrize(
    ("retention_ms", "kept_ms"), [(-1, 0), (0, 7 + DAY_MS), (1000, 1007 + DAY_MS)]
)
def test_a_mark_outlives_the_tags_that_it_covers(retention_ms: int, kept_ms: int) -> None:
    assert keep_ms(KeptRecords("t", retention_ms, 7)) == kept_ms


def test_records_are_gone_a_segment_after_their_retention() -> None:
    assert KeptRecords("t", 1000, 7, erased_ms=5).gone_ms == 1012
    assert KeptRecords("t", -1, 7, erased_ms=5).gone_ms is None


def test_a_log_that_was_cut_is_not_applied_again_unasked() -> None:
    check_log_is_whole({0: 0, 1: 0})
    with pytest.raises(RebuildRefused, match=r"offsets 1: 5: .*--force"):
        check_log_is_whole({0: 0, 1: 5})


def test_progress_is_that_of_the_slowest_slot() -> None:
    def shard(first: int, last: int, at: int) -> ShardPositions:
        ranges = ((first, last),)
        return ShardPositions("n", ranges, {"0": ViewPosition("t", at, ranges, "o")})

    both = [shard(0, 4, 7), shard(5, 9, 3)]
    assert applied(both, [0], set(range(10))) == {0: 3}
    assert applied(both, [0], {0, 1}) == {0: 7}
    assert applied(both, [0, 1], {0, 1}) == {0: 7, 1: 0}
    assert applied(both, [0], {0, 10}) == {0: 0}
    assert applied([], [0], {0}) == {0: 0}
