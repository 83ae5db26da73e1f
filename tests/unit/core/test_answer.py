"""Rows of an aggregate answer: all minutes, all strings, columns in the contract's order."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.answer import ProfileAnswer, fill_rows
from serve_app.core.query import Aggregate, AggregateQuery
from serve_app.core.tag import UserTag
from tests.unit.core.strategies import actions, names, user_tags

FILTERS = ("origin", "brand_id", "category_id")
MINUTE = 27_434_885
"""2022-03-01T00:05:00."""


@given(
    first=st.integers(0, 200_000_000),
    length=st.integers(0, 10),
    action=actions,
    aggregates=st.lists(st.sampled_from(["COUNT", "SUM_PRICE"]), min_size=1, max_size=3),
    values=st.dictionaries(st.sampled_from(FILTERS), names),
    sums=st.dictionaries(
        st.integers(-1, 11), st.tuples(st.integers(1, 2**40), st.integers(-(2**62), 2**62))
    ),
)
def test_a_row_for_each_minute_of_the_range(
    first: int,
    length: int,
    action: str,
    aggregates: list[Aggregate],
    values: dict[str, str],
    sums: dict[int, tuple[int, int]],
) -> None:
    given_filters = tuple((name, values[name]) for name in FILTERS if name in values)
    query = AggregateQuery(first, first + length, action, tuple(aggregates), given_filters)
    answer = fill_rows(query, {first + at: row for at, row in sums.items()})

    expected = []
    for at in range(length):
        count, total = sums.get(at, (0, 0))
        start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=first + at)
        row = [start.strftime("%Y-%m-%dT%H:%M:%S"), action, *(value for _, value in given_filters)]
        row += [{"COUNT": str(count), "SUM_PRICE": str(total)}[name] for name in aggregates]
        expected.append(row)
    assert answer.rows == expected
    assert answer.columns == [
        "1m_bucket",
        "action",
        *(name for name, _ in given_filters),
        *(name.lower() for name in aggregates),
    ]


def test_the_encoded_answer_is_the_contracts_json() -> None:
    query = AggregateQuery(MINUTE, MINUTE + 2, "BUY", ("SUM_PRICE", "COUNT"), (("brand_id", "B"),))
    assert json.loads(msgspec.json.encode(fill_rows(query, {MINUTE: (3, -(2**33))}))) == {
        "columns": ["1m_bucket", "action", "brand_id", "sum_price", "count"],
        "rows": [
            ["2022-03-01T00:05:00", "BUY", "B", "-8589934592", "3"],
            ["2022-03-01T00:06:00", "BUY", "B", "0", "0"],
        ],
    }


@given(st.lists(user_tags, max_size=3))
def test_a_profile_is_encoded_tag_by_tag(tags: list[UserTag]) -> None:
    answer = json.loads(msgspec.json.encode(ProfileAnswer("cookie", tags, ())))
    assert answer == {"cookie": "cookie", "views": msgspec.to_builtins(tags), "buys": []}
