"""Records as tags, statements as text."""

import pytest

from actors.aggregates.batch import Batch
from actors.aggregates.mysql_sink import full_rows, rollup_rows
from actors.aggregates.upsert import aggregates_head, upsert
from actors.log.ports import Record
from actors.log.reading import UnreadableRecord, read_tag
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
    sql = upsert(
        aggregates_head("aggregates"), [(1, 0, 2, 3, 4, 0, 5, -6), (1, 1, 2, 3, 4, 0, 1, 1)]
    )
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
