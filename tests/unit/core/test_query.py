"""The queries' URLs: every parameter, every rule, every refusal by name."""

from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.errors import RuleBroken, Unreadable
from serve_app.core.query import (
    AggregateQuery,
    ProfileQuery,
    parse_aggregate_query,
    parse_parameters,
    parse_profile_query,
)
from tests.unit.core.strategies import actions, names, texts

DAY = datetime(2022, 3, 1)
MINUTE_0 = 27_434_880
"""2022-03-01T00:00:00 in epoch minutes."""
RANGE = "2022-03-01T00:00:01.610_2022-03-01T00:00:02.419"
MINUTES = "2022-03-01T00:01:00_2022-03-01T00:02:00"
AGGREGATE = f"time_range={MINUTES}&action=VIEW&aggregates=COUNT"


def profile(query: str, cookie: str = "cookie") -> ProfileQuery:
    return parse_profile_query(cookie, parse_parameters(query.encode()))


def aggregate(query: str) -> AggregateQuery:
    return parse_aggregate_query(parse_parameters(query.encode()))


def refused_profile(query: str, cookie: str = "cookie") -> str:
    with pytest.raises(RuleBroken) as caught:
        profile(query, cookie)
    assert caught.value.detail.startswith(f"{caught.value.field}: ")
    return caught.value.field


def refused_aggregate(query: str) -> str:
    with pytest.raises(RuleBroken) as caught:
        aggregate(query)
    assert caught.value.detail.startswith(f"{caught.value.field}: ")
    return caught.value.field


class TestParameters:
    @given(st.lists(st.tuples(names, texts), max_size=6))
    def test_every_encoding_comes_back_in_order(self, pairs: list[tuple[str, str]]) -> None:
        expected: dict[str, list[str]] = {}
        for name, value in pairs:
            expected.setdefault(name, []).append(value)
        for how in (urlencode(pairs), urlencode(pairs, quote_via=quote, safe="")):
            assert parse_parameters(how.encode()) == expected

    def test_plus_and_percent_20_are_spaces(self) -> None:
        assert parse_parameters(b"a=x+y&b=x%20y&c=x%2By") == {
            "a": ["x y"],
            "b": ["x y"],
            "c": ["x+y"],
        }

    def test_blank_values_are_kept(self) -> None:
        assert parse_parameters(b"a=&b&c=1") == {"a": [""], "b": [""], "c": ["1"]}

    @pytest.mark.parametrize(
        "query", [b"a=%ff", b"a=%c3%28", b"%ff=a", b"a=%ed%a0%80", b"a=\xff", "a=é".encode()]
    )
    def test_what_is_not_utf8_cannot_be_read(self, query: bytes) -> None:
        with pytest.raises(Unreadable):
            parse_parameters(query)

    def test_no_query_is_no_parameters(self) -> None:
        assert parse_parameters(b"") == {}


class TestProfileQuery:
    def test_the_example_of_the_contract(self) -> None:
        query = profile(f"time_range={RANGE}&limit=200", "yJKX3u9HOTlcaDipwAmb")
        assert query == ProfileQuery(
            "yJKX3u9HOTlcaDipwAmb", 1_646_092_801_610, 1_646_092_802_419, 200
        )

    def test_milliseconds_are_optional_on_each_side(self) -> None:
        query = profile("time_range=2022-03-01T00:00:01_2022-03-01T00:00:02.000")
        assert (query.from_ms, query.to_ms) == (1_646_092_801_000, 1_646_092_802_000)

    def test_the_limit_is_200_unless_given(self) -> None:
        assert profile(f"time_range={RANGE}").limit == 200

    @pytest.mark.parametrize("limit", [0, 1, 199, 200, 201, 10**9])
    def test_any_limit_from_0_is_taken(self, limit: int) -> None:
        assert profile(f"time_range={RANGE}&limit={limit}").limit == limit

    @pytest.mark.parametrize(
        "limit",
        ["", "-1", "+1", "%2B1", "1.0", "1e2", "0x1", "a", "1_0", " 1", "1%20", "%D9%A1", "%C2%B2"],
    )
    def test_other_limits_are_refused(self, limit: str) -> None:
        assert refused_profile(f"time_range={RANGE}&limit={limit}") == "limit"

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "_",
            "2022-03-01T00:00:01",
            "2022-03-01T00:00:01_",
            "_2022-03-01T00:00:01",
            "2022-03-01T00:00:01Z_2022-03-01T00:00:02Z",
            "2022-03-01T00:00:01-2022-03-01T00:00:02",
            "2022-03-01T00:00:01_2022-03-01T00:00:02_",
            "2022-03-01T00:00:01_2022-03-01T00:00:02_2022-03-01T00:00:03",
            "2022-03-01T00:00:01_2022-02-30T00:00:02",
            "2022-03-01T00:00:01.5_2022-03-01T00:00:02",
            "2022-03-01T00:00:02_2022-03-01T00:00:01.999",
            "1_2",
        ],
    )
    def test_other_time_ranges_are_refused(self, value: str) -> None:
        assert refused_profile(f"time_range={value}") == "time_range"

    def test_an_empty_range_is_no_error(self) -> None:
        query = profile("time_range=2022-03-01T00:00:01_2022-03-01T00:00:01")
        assert query.from_ms == query.to_ms

    @pytest.mark.parametrize("query", ["", "limit=5", "Time_range=" + RANGE])
    def test_the_time_range_is_required(self, query: str) -> None:
        assert refused_profile(query) == "time_range"

    @pytest.mark.parametrize("name", ["time_range", "limit"])
    def test_a_parameter_is_given_once(self, name: str) -> None:
        query = f"time_range={RANGE}&limit=5"
        again = {"time_range": RANGE, "limit": "5"}[name]
        assert refused_profile(f"{query}&{name}={again}") == name

    def test_unknown_parameters_are_ignored(self) -> None:
        assert profile(f"time_range={RANGE}&limits=5&x=1&x=2&cookie=other").cookie == "cookie"

    def test_cookies_have_1_to_128_characters(self) -> None:
        for cookie in ("x", "é" * 128):
            assert profile(f"time_range={RANGE}", cookie).cookie == cookie
        for cookie in ("", "x" * 129):
            assert refused_profile(f"time_range={RANGE}", cookie) == "cookie"


class TestAggregateQuery:
    def test_the_example_of_the_contract(self) -> None:
        query = aggregate(
            f"time_range={MINUTES}&action=VIEW&category_id=Shoes___Accessories"
            "&aggregates=COUNT&aggregates=SUM_PRICE"
        )
        assert query == AggregateQuery(
            MINUTE_0 + 1,
            MINUTE_0 + 2,
            "VIEW",
            ("COUNT", "SUM_PRICE"),
            (("category_id", "Shoes___Accessories"),),
        )
        assert list(query.minutes) == [MINUTE_0 + 1]

    @given(
        start=st.integers(0, 1_000_000),
        length=st.integers(0, 10),
        action=actions,
        aggregates=st.lists(st.sampled_from(["COUNT", "SUM_PRICE"]), min_size=1, max_size=4),
        filters=st.dictionaries(st.sampled_from(["origin", "brand_id", "category_id"]), names),
        shuffle=st.randoms(),
    )
    def test_every_legal_query_is_understood_in_any_order(
        self,
        start: int,
        length: int,
        action: str,
        aggregates: list[str],
        filters: dict[str, str],
        shuffle: object,
    ) -> None:
        begin = DAY + timedelta(minutes=start)
        end = begin + timedelta(minutes=length)
        pairs = [("time_range", f"{begin.isoformat()}_{end.isoformat()}"), ("action", action)]
        pairs += filters.items()
        shuffle.shuffle(pairs)  # type: ignore[attr-defined]
        pairs += [("aggregates", name) for name in aggregates]
        query = aggregate(urlencode(pairs))
        assert query.minutes == range(MINUTE_0 + start, MINUTE_0 + start + length)
        assert query.action == action
        assert list(query.aggregates) == aggregates
        in_order = [name for name in ("origin", "brand_id", "category_id") if name in filters]
        assert query.filters == tuple((name, filters[name]) for name in in_order)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "2022-03-01T00:01:00",
            "2022-03-01T00:01:00_",
            "2022-03-01T00:01:01_2022-03-01T00:02:00",
            "2022-03-01T00:01:00_2022-03-01T00:02:30",
            "2022-03-01T00:01:00.000_2022-03-01T00:02:00.000",
            "2022-03-01T00:01:00Z_2022-03-01T00:02:00Z",
            "2022-03-01T00:01_2022-03-01T00:02",
            "2022-03-01T00:02:00_2022-03-01T00:01:00",
            "2022-03-01T00:00:00_2022-03-01T00:11:00",
            "2022-03-01T00:00:00_2022-03-02T00:00:00",
            "2022-02-29T00:00:00_2022-03-01T00:01:00",
            "2022-03-01T00:01:00_2022-03-01T00:02:00_",
        ],
    )
    def test_other_time_ranges_are_refused(self, value: str) -> None:
        query = f"time_range={value}&action=VIEW&aggregates=COUNT"
        assert refused_aggregate(query) == "time_range"

    @pytest.mark.parametrize("name", ["time_range", "action", "aggregates"])
    def test_required_parameters_are_missed_by_name(self, name: str) -> None:
        kept = [pair for pair in AGGREGATE.split("&") if not pair.startswith(f"{name}=")]
        assert refused_aggregate("&".join(kept)) == name

    @pytest.mark.parametrize("name", ["time_range", "action", "origin", "brand_id", "category_id"])
    def test_these_are_given_once(self, name: str) -> None:
        value = {"time_range": MINUTES, "action": "VIEW"}.get(name, "x")
        query = AGGREGATE if f"{name}=" in AGGREGATE else f"{AGGREGATE}&{name}={value}"
        assert refused_aggregate(f"{query}&{name}={value}") == name

    @pytest.mark.parametrize("action", ["", "view", "BUY%20", "CLICK", "VIEW,BUY"])
    def test_other_actions_are_refused(self, action: str) -> None:
        query = f"time_range={MINUTES}&action={action}&aggregates=COUNT"
        assert refused_aggregate(query) == "action"

    @pytest.mark.parametrize(
        "value", ["", "count", "sum_price", "COUNT,SUM_PRICE", "AVG", "COUNT%20"]
    )
    def test_other_aggregates_are_refused(self, value: str) -> None:
        assert (
            refused_aggregate(f"time_range={MINUTES}&action=VIEW&aggregates={value}")
            == "aggregates"
        )
        assert refused_aggregate(f"{AGGREGATE}&aggregates={value}") == "aggregates"

    @pytest.mark.parametrize("name", ["origin", "brand_id", "category_id"])
    def test_filters_have_1_to_128_characters(self, name: str) -> None:
        for value in ("x", "é" * 128):
            assert aggregate(f"{AGGREGATE}&{name}={quote(value)}").filters == ((name, value),)
        for value in ("", "x" * 129):
            assert refused_aggregate(f"{AGGREGATE}&{name}={value}") == name

    def test_a_filter_is_taken_as_it_stands(self) -> None:
        assert aggregate(f"{AGGREGATE}&origin=Nike+").filters == (("origin", "Nike "),)

    def test_unknown_parameters_are_ignored(self) -> None:
        assert aggregate(f"{AGGREGATE}&country=PL&limit=x") == aggregate(AGGREGATE)

    def test_ten_minutes_over_a_day_break_are_one_range(self) -> None:
        query = aggregate(
            "time_range=2022-02-28T23:55:00_2022-03-01T00:05:00&action=BUY&aggregates=COUNT"
        )
        assert query.minutes == range(MINUTE_0 - 5, MINUTE_0 + 5)
