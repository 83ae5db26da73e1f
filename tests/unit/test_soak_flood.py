"""What is made of the answers after a flood of names."""

import json
from itertools import islice

from tests.soak.name_flood import (
    FLOOD_ORIGINS,
    NEW_ORIGIN,
    NEW_TAGS,
    count_problem,
    flood_problem,
    flood_tags,
    new_tags,
    question,
)
from tests.webpanel.eventtime import MINUTE_MS
from tests.webpanel.options import STREAM_START_MS

CAPPED = b'{"status":503,"detail":"origin: more names (TAGS_ACTOR_DICTIONARY_MAX_NAMES)"}'


def row(count: int) -> tuple[int, bytes]:
    rows = [["2022-03-01T00:00:00", "VIEW", "CAMPAIGN_1", str(count)]]
    return 200, json.dumps({"columns": [], "rows": rows}).encode()


def test_a_name_past_the_limit_must_be_refused_for_that() -> None:
    assert flood_problem([(503, CAPPED), row(0)]) == ""
    assert "was not refused: 200" in flood_problem([row(0), row(0)])
    late = (503, b'{"detail":"aggregates are 7 tags behind"}')
    assert "was not refused: 503" in flood_problem([late, row(0)])
    assert "was not refused: 0" in flood_problem([(0, b"read timeout"), row(0)])


def test_names_from_before_must_be_answered_right() -> None:
    assert flood_problem([(503, CAPPED), (503, CAPPED)]) != ""
    assert flood_problem([(503, CAPPED), row(1)]) != ""


def test_a_new_name_must_have_its_tags() -> None:
    assert count_problem(row(4), 4, NEW_TAGS) == ""
    assert count_problem(row(5), 4, NEW_TAGS) == ""
    assert count_problem(row(3), 4, NEW_TAGS) != ""
    assert count_problem((503, CAPPED), 4, NEW_TAGS) != ""
    for text in (b"", b"[]", b'{"rows":[]}', b'{"rows":[["a",null]]}'):
        assert count_problem((200, text), 0, 1) != ""


def test_tags_lie_in_the_minute_that_is_asked_for() -> None:
    tags = [json.loads(tag) for tag in flood_tags(STREAM_START_MS)]
    assert len({tag["origin"] for tag in tags}) == FLOOD_ORIGINS < MINUTE_MS
    assert {tag["time"][:16] for tag in tags} == {"2022-03-01T00:00"}
    assert question("A", STREAM_START_MS + 59_999) == (
        "/aggregates?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
        "&action=VIEW&origin=A&aggregates=COUNT"
    )
    (tag,) = islice(new_tags(STREAM_START_MS), 1)
    assert json.loads(tag)["origin"] == NEW_ORIGIN
