"""Hours as partitions of a table: which are made and which are dropped, and in what words."""

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.aggregates.hour_partitions import (
    CATCH_ALL,
    SPARE_HOURS,
    TablePartition,
    drop_statement,
    expired,
    missing_hours,
    over_soon,
    split_statement,
    table_partitions,
)

REST = TablePartition(CATCH_ALL, None)


def ends(*hours: int) -> list[TablePartition]:
    return [*(TablePartition(f"p{hour}", hour) for hour in hours), REST]


def split(partitions: list[TablePartition], newest: int, ahead: int) -> list[TablePartition]:
    """What the table looks like after all splits: the words of the statements, read again."""
    after = list(partitions)
    for partition, hours in missing_hours(partitions, [newest], ahead).items():
        words = split_statement("t", partition, hours).replace("(", " ").replace(")", " ").split()
        at = after.index(partition)
        names = [words[i + 1] for i, word in enumerate(words) if word == "PARTITION"][1:]
        bounds = [words[i + 1].strip(",") for i, word in enumerate(words) if word == "THAN"]
        bounds += ["MAXVALUE"] * (len(names) - len(bounds))
        after[at : at + 1] = table_partitions(zip(names, bounds, strict=True))
    return after


WIDER = [48 * 4**step for step in range(8)]
"""Hours from the last single one to the ends of the wider ones."""


def test_the_catch_all_is_split_into_hours_to_spare_and_ever_wider_ones() -> None:
    assert missing_hours(ends(), [100], 1) == {REST: [100, 101]}
    after = split(ends(), 100, 1)
    assert after == ends(100, 101, *(101 + hours for hours in WIDER))
    assert 89 < WIDER[-1] / 24 / 365 < 90


def test_of_what_lies_ahead_each_hour_is_copied_a_few_times_at_most() -> None:
    """A year ahead, while a stream comes nearer by the hour."""
    parts, year = split(ends(), 100, 6), 100 + 24 * 365
    copies = 0
    for newest in range(101, year):
        gone = set(expired(parts, newest - 30))
        parts = [part for part in parts if part.name not in gone]
        holder = next(part for part in parts if part.last_hour is None or part.last_hour >= year)
        copies += holder in missing_hours(parts, [newest], 6)
        parts = split(parts, newest, 6)
    assert 0 < copies <= 24


def test_further_hours_come_off_the_spare_ones() -> None:
    wide = TablePartition("p149", 149)
    assert missing_hours(ends(100, 101, 149), [101], 1) == {wide: [102]}
    assert split_statement("t", wide, [102]) == (
        "ALTER TABLE t REORGANIZE PARTITION p149 INTO (PARTITION p102 VALUES LESS THAN (6180), "
        "PARTITION p149 VALUES LESS THAN (9000))"
    )


def test_hours_on_both_sides_of_a_bound() -> None:
    assert missing_hours(ends(100, 149), [148], 3) == {
        TablePartition("p149", 149): [148],
        REST: [150, 151],
    }


def test_real_hours_come_off_a_partition_made_for_a_wrong_date() -> None:
    after = split(ends(9_000), 100, 2)
    assert after == ends(100, 101, 102, 102 + 48, 102 + 192, 102 + 768, 102 + 3_072, 9_000)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 6)), min_size=1, max_size=8),
)
def test_every_hour_asked_for_is_there_and_no_bound_is_lost(rounds: list[tuple[int, int]]) -> None:
    partitions = ends()
    for newest, ahead in rounds:
        after = split(partitions, newest, ahead)
        assert after[-1].last_hour is None
        bounds = [one.last_hour for one in after[:-1] if one.last_hour is not None]
        assert len(bounds) == len(after) - 1
        assert bounds == sorted(set(bounds))
        assert set(range(newest, newest + ahead + 1)) <= set(bounds)
        assert {one.last_hour for one in partitions} <= {*bounds, None}
        assert len(after) - len(partitions) <= ahead + 1 + len(WIDER)
        assert all(one.name == f"p{one.last_hour}" for one in after[:-1])
        partitions = after
        assert not missing_hours(partitions, [newest], ahead)


def test_several_busy_hours_at_once() -> None:
    assert missing_hours(ends(), [100, 9_000, 101], 1) == {REST: [100, 101, 102, 9_000, 9_001]}


def test_what_is_over_soon_need_not_be_split() -> None:
    assert over_soon(TablePartition("p149", 149), [101])
    assert not over_soon(TablePartition("p9000", 9_000), [101])
    assert not over_soon(REST, [101])


def test_only_what_is_wholly_too_old_goes() -> None:
    assert expired(ends(100, 101, 102, 149), 102) == ["p100", "p101"]
    assert expired(ends(), 10**6) == []
    assert drop_statement("t", ["p1", "p2"]) == "ALTER TABLE t DROP PARTITION p1, p2"


def test_bounds_as_the_server_writes_them() -> None:
    assert table_partitions([("p100", "6060"), (CATCH_ALL, "MAXVALUE")]) == ends(100)
    assert SPARE_HOURS == 48
