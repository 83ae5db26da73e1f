"""Records as tags, statements as text, hours as partitions."""

import pytest

from actors.batch import Batch
from actors.mysql_sink import full_rows, rollup_rows
from actors.ports import Record
from actors.reading import UnreadableRecord, read_tag
from actors.table_partitions import HourCounter, missing_hours, split_statement
from actors.upsert import AGGREGATES_HEAD, upsert
from tests.unit.actors.fakes import tag_json


def test_a_record_without_header_is_json_1():
    assert read_tag(Record(0, tag_json(cookie="x"))).cookie == "x"
    assert read_tag(Record(0, tag_json(cookie="x"), 0, [("format", b"json/1")])).cookie == "x"


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (None, [], "no value"),
        (b"{", [], "JSON"),
        (tag_json(action="LOOK"), [], "action"),
        (tag_json(), [("format", b"avro/7")], "avro/7"),
    ],
)
def test_what_cannot_be_read_names_the_reason(value, headers, reason):
    with pytest.raises(UnreadableRecord, match=reason):
        read_tag(Record(0, value, 0, headers))


def test_one_statement_holds_all_rows():
    sql = upsert(AGGREGATES_HEAD, [(1, 0, 2, 3, 4, 0, 5, -6), (1, 1, 2, 3, 4, 0, 1, 1)])
    assert sql.count("INSERT") == 1
    assert "VALUES (1, 0, 2, 3, 4, 0, 5, -6), (1, 1, 2, 3, 4, 0, 1, 1) ON DUPLICATE" in sql


def test_names_past_the_cap_share_a_row():
    batch = Batch()
    for origin in ("known", "past", "past too"):
        batch.add(read_tag(Record(0, tag_json(origin=origin, price=1))), 60_000)
    ids = {(1, "known"): 5, (1, "past"): 0, (1, "past too"): 0, (2, "b"): 1, (3, "k"): 2}
    assert full_rows(batch, ids, 7) == [(1, 0, 0, 1, 2, 7, 2, 2), (1, 0, 5, 1, 2, 7, 1, 1)]
    assert rollup_rows(batch, ids, 7) == [
        (1, 0, 0, 0, 7, 3, 3),
        (1, 0, 1, 0, 7, 2, 2),
        (1, 0, 1, 5, 7, 1, 1),
        (1, 0, 2, 1, 7, 3, 3),
        (1, 0, 3, 2, 7, 3, 3),
    ]


def test_a_single_tag_years_ahead_makes_no_hour():
    hours = HourCounter(min_tags=3)
    assert not hours.add(Batch(hours={500_000: 2, 100: 2}))
    assert hours.add(Batch(hours={100: 1}))
    assert hours.newest_hour == 100
    assert not hours.add(Batch(hours={99: 10}))
    for hour in range(1_000, 3_000):
        hours.add(Batch(hours={hour: 1}))
    assert hours.newest_hour == 100


def test_hours_are_made_once_and_upwards_only():
    assert missing_hours(["MAXVALUE"], 100, 2) == [100, 101, 102]
    assert missing_hours(["6060", "6120", "MAXVALUE"], 100, 2) == [102]
    assert missing_hours([str(500 * 60), "MAXVALUE"], 100, 2) == []
    assert split_statement("t", [100, 101]) == (
        "ALTER TABLE t REORGANIZE PARTITION p_rest INTO (PARTITION p100 VALUES LESS THAN (6060), "
        "PARTITION p101 VALUES LESS THAN (6120), PARTITION p_rest VALUES LESS THAN MAXVALUE)"
    )
