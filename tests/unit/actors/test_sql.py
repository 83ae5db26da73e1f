"""Statements as text."""

from actors.aggregates.batch import Batch
from actors.aggregates.mysql_sink import full_rows, rollup_rows
from actors.aggregates.upsert import aggregates_head, upsert
from tests.fakes.actors import tag_json
from tests.tags import decode_tag


def test_one_statement_holds_all_rows() -> None:
    sql = upsert(
        aggregates_head("aggregates"), [(1, 0, 2, 3, 4, 0, 5, -6), (1, 1, 2, 3, 4, 0, 1, 1)]
    )
    assert sql.count("INSERT") == 1
    assert "VALUES (1, 0, 2, 3, 4, 0, 5, -6), (1, 1, 2, 3, 4, 0, 1, 1) ON DUPLICATE" in sql


def test_names_past_the_cap_share_a_row() -> None:
    batch = Batch()
    for origin in ("known", "past", "past too"):
        batch.add(decode_tag(tag_json(origin=origin, price=1)), 60_000)
    ids = {(1, "known"): 5, (1, "past"): 0, (1, "past too"): 0, (2, "b"): 1, (3, "k"): 2}
    assert full_rows(batch, ids, 7) == [(1, 0, 0, 1, 2, 7, 2, 2), (1, 0, 5, 1, 2, 7, 1, 1)]
    assert rollup_rows(batch, ids, 7) == [
        (1, 0, 0, 0, 7, 3, 3),
        (1, 0, 1, 0, 7, 2, 2),
        (1, 0, 1, 5, 7, 1, 1),
        (1, 0, 2, 1, 7, 3, 3),
        (1, 0, 3, 2, 7, 3, 3),
    ]
