"""Use case 3: counts and sums per minute for the requested filters."""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from datetime import timedelta

from tests.contract.api import Api, Minutes, check_problem, new_cookie
from tests.oracle import Tag
from tests.tags import new_tag

ORDERS: list[tuple[str, ...]] = [
    ("COUNT",),
    ("SUM_PRICE",),
    ("COUNT", "SUM_PRICE"),
    ("SUM_PRICE", "COUNT"),
]
BRANDS = ["Nike", "Nike ", "nike", "NIKE", " Nike", "Nikę", "Nike_", "a_b", "a", "b_c"]


def combinations(values: dict[str, str]) -> Iterator[dict[str, str]]:
    """All eight combinations of filters."""
    for size in range(4):
        for names in itertools.combinations(values, size):
            yield {name: values[name] for name in names}


def random_tags(minutes: Minutes, count: int, seed: int) -> list[Tag]:
    """Tags in ten minutes except the fifth, with few values, so that every filter matches some."""
    rng = random.Random(seed)
    return [
        new_tag(
            new_cookie(),
            minutes.time(rng.choice([0, 1, 2, 3, 5, 6, 7, 8, 9]), rng.choice([0, 1, 500, 999])),
            action=rng.choice(["VIEW", "BUY"]),
            origin=rng.choice(["CAMPAIGN_1", "CAMPAIGN_2"]),
            brand_id=rng.choice(["a_b", "a"]),
            category_id=rng.choice(["Shoes___Accessories", "b_c"]),
            price=rng.choice([0, 1, 28_969, -500]),
        )
        for _ in range(count)
    ]


async def test_every_choice_of_filters_and_aggregates(api: Api, minutes: Minutes) -> None:
    await api.accept(random_tags(minutes, 250, seed=1))
    values = {"origin": "CAMPAIGN_1", "brand_id": "a_b", "category_id": "Shoes___Accessories"}
    await asyncio.gather(
        *(
            api.check_aggregates(minutes.range(), action, order, **filters)
            for filters in combinations(values)
            for action in ("VIEW", "BUY")
            for order in ORDERS
        )
    )


async def test_columns_follow_the_contract_and_not_the_query(api: Api, minutes: Minutes) -> None:
    tag = new_tag(new_cookie(), minutes.time(1, 5), price=7)
    await api.accept([tag])
    pairs = [
        ("aggregates", "SUM_PRICE"),
        ("category_id", "Shoes"),
        ("brand_id", "Ebros_Gift"),
        ("aggregates", "COUNT"),
        ("origin", "CAMPAIGN_321"),
        ("action", "VIEW"),
        ("unknown", "x"),
        ("time_range", minutes.range(0, 2)),
    ]
    answer = await api.post_aggregates(pairs)
    fixed = ["VIEW", "CAMPAIGN_321", "Ebros_Gift", "Shoes"]
    assert answer.json() == {
        "columns": [
            "1m_bucket",
            "action",
            "origin",
            "brand_id",
            "category_id",
            "sum_price",
            "count",
        ],
        "rows": [
            [minutes.time(0)[:-1], *fixed, "0", "0"],
            [minutes.time(1)[:-1], *fixed, "7", "1"],
        ],
    }


async def test_minutes_without_events_are_rows_of_zeros(api: Api, minutes: Minutes) -> None:
    found = await api.aggregates(minutes.range(), "BUY", ["COUNT", "SUM_PRICE"], brand_id="none")
    assert found == {
        "columns": ["1m_bucket", "action", "brand_id", "count", "sum_price"],
        "rows": [[minutes.time(n)[:-1], "BUY", "none", "0", "0"] for n in range(10)],
    }


async def test_names_are_told_apart_to_the_byte(api: Api, minutes: Minutes) -> None:
    tags = []
    for number, brand in enumerate(BRANDS):
        for field in ("origin", "brand_id", "category_id"):
            change = {field: brand}
            tags.append(new_tag(new_cookie(), minutes.time(number % 3, 1), price=number, **change))
    await api.accept(tags)
    asked = [*BRANDS, "Nike  ", "NIKE ", "%", "Nike%", "Nik_", "niké"]
    await asyncio.gather(
        *(
            api.check_aggregates(
                minutes.range(0, 3), "VIEW", ("COUNT", "SUM_PRICE"), **{field: name}
            )
            for name in asked
            for field in ("origin", "brand_id", "category_id")
        )
    )


async def test_a_key_joined_with_underscores_would_be_ambiguous(api: Api, minutes: Minutes) -> None:
    keys = [("a_b", "c", "d"), ("a", "b_c", "d"), ("a", "b", "c_d"), ("a_b_c", "d", "d")]
    await api.accept(
        new_tag(new_cookie(), minutes.time(0, 1), origin=o, brand_id=b, category_id=c, price=n)
        for n, (o, b, c) in enumerate(keys, 1)
    )
    await asyncio.gather(
        *(
            api.check_aggregates(
                minutes.range(0, 1), origin=origin, brand_id=brand, category_id=category
            )
            for origin, brand, category in keys
        )
    )


async def test_sums_go_beyond_int32(api: Api, minutes: Minutes) -> None:
    tags = [new_tag(new_cookie(), minutes.time(0, n), price=2**31 - 1) for n in range(5)]
    tags += [new_tag(new_cookie(), minutes.time(1, n), price=-(2**31)) for n in range(5)]
    tags += [new_tag(new_cookie(), minutes.time(2, n), price=n - 1) for n in range(3)]
    tags += [new_tag(new_cookie(), minutes.time(3), price=0)]
    await api.accept(tags)
    found = await api.aggregates(minutes.range(0, 4), "VIEW", ["SUM_PRICE", "COUNT"])
    assert [row[2:] for row in found["rows"]] == [
        [str(5 * (2**31 - 1)), "5"],
        [str(-5 * 2**31), "5"],
        ["0", "3"],
        ["0", "1"],
    ]
    filters = {"origin": "CAMPAIGN_321", "brand_id": "Ebros_Gift", "category_id": "Shoes"}
    await asyncio.gather(
        *(api.check_aggregates(minutes.range(0, 4), **chosen) for chosen in combinations(filters))
    )


async def test_a_tag_counts_in_the_minute_of_its_event_time(api: Api, minutes: Minutes) -> None:
    tags = [
        new_tag(new_cookie(), minutes.time(1)),
        new_tag(new_cookie(), minutes.time(1, 0)),
        new_tag(new_cookie(), minutes.time(1 + 59 / 60, 999)),
        new_tag(new_cookie(), minutes.time(2)),
        new_tag(new_cookie(), minutes.time(59 / 60, 999)),
    ]
    await api.accept(tags)
    found = await api.aggregates(minutes.range(0, 3), "VIEW", ["COUNT"])
    assert [row[-1] for row in found["rows"]] == ["1", "3", "1"]
    # The end of a range is exclusive.
    found = await api.aggregates(minutes.range(1, 2), "VIEW", ["COUNT"])
    assert [row[-1] for row in found["rows"]] == ["3"]


async def test_tags_that_come_hours_late_are_counted(api: Api, minutes: Minutes) -> None:
    mark = new_cookie()
    later = Minutes(minutes.start + timedelta(hours=20))
    await api.accept([new_tag(mark, later.time(0, 1), origin=mark, price=3)])
    await api.check_aggregates(later.range(0, 1), origin=mark)
    await api.accept([new_tag(mark, minutes.time(0, 1), origin=mark, price=5)])
    await asyncio.gather(
        api.check_aggregates(minutes.range(0, 1), origin=mark),
        api.check_aggregates(later.range(0, 1), origin=mark),
    )
    both = f"{minutes.range().partition('_')[0]}_{later.range().partition('_')[2]}"
    await api.check_profile(mark, both)


async def test_a_tag_of_a_year_to_come_does_no_harm(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    future = new_tag(cookie, "2030-01-01T00:00:00.001Z", origin=cookie)
    last = new_tag(cookie, "9999-12-31T23:59:59.999Z", origin=cookie)
    await api.accept([future, last])
    await api.accept([new_tag(cookie, minutes.time(0, 1))])
    await api.check_profile(cookie, "1970-01-01T00:00:00_9999-12-31T23:59:59.999")
    await asyncio.gather(
        api.check_aggregates(minutes.range(0, 1)),
        api.check_aggregates("2030-01-01T00:00:00_2030-01-01T00:01:00", origin=cookie),
        api.check_aggregates("9999-12-31T23:50:00_9999-12-31T23:59:00", origin=cookie),
    )


async def test_ranges_of_up_to_ten_minutes(api: Api, minutes: Minutes) -> None:
    await api.accept(new_tag(new_cookie(), minutes.time(n, n), price=n) for n in range(12))
    for first, last in ((0, 0), (3, 4), (0, 10), (2, 12)):
        found = await api.aggregates(minutes.range(first, last), "VIEW", ["SUM_PRICE"])
        assert [row[-1] for row in found["rows"]] == [str(n) for n in range(first, last)]
        assert found["columns"] == ["1m_bucket", "action", "sum_price"]
    pairs = [("time_range", minutes.range(0, 11)), ("action", "VIEW"), ("aggregates", "COUNT")]
    check_problem(await api.post_aggregates(pairs), 422, "time_range")


async def test_broken_rules_are_422_by_name(api: Api, minutes: Minutes) -> None:
    good = {"time_range": minutes.range(0, 1), "action": "VIEW", "aggregates": "COUNT"}
    day = "2022-03-01T00"
    wrong: list[tuple[list[tuple[str, str]], str]] = [
        ([pair for pair in good.items() if pair[0] != name], name) for name in good
    ]
    for field, values in {
        "time_range": [
            "",
            f"{day}:01:00",
            f"{day}:01:01_{day}:02:00",
            f"{day}:01:00_{day}:02:30",
            f"{day}:01:00.000_{day}:02:00.000",
            f"{day}:01:00Z_{day}:02:00Z",
            f"{day}:02:00_{day}:01:00",
            "2022-02-29T00:00:00_2022-03-01T00:00:00",
        ],
        "action": ["", "view", "CLICK"],
        "aggregates": ["", "count", "AVG", "COUNT,SUM_PRICE"],
        "origin": ["", "x" * 129],
        "brand_id": ["", "x" * 129],
        "category_id": ["", "x" * 129],
    }.items():
        wrong += [(list({**good, field: value}.items()), field) for value in values]
    wrong += [([*good.items(), (name, good[name])], name) for name in ("time_range", "action")]
    wrong += [
        ([*good.items(), (name, "a"), (name, "b")], name)
        for name in ("origin", "brand_id", "category_id")
    ]
    wrong.append(([*good.items(), ("aggregates", "SUM")], "aggregates"))
    for pairs, field in wrong:
        check_problem(await api.post_aggregates(pairs, b"{}" * 10_000), 422, field)


async def test_what_is_not_utf8_is_400(api: Api, minutes: Minutes) -> None:
    good = f"time_range={minutes.range(0, 1)}&action=VIEW&aggregates=COUNT"
    check_problem(await api.http.post(f"/aggregates?{good}&origin=%FF"), 400)


async def test_the_body_changes_nothing(api: Api, minutes: Minutes) -> None:
    await api.accept([new_tag(new_cookie(), minutes.time(0, 1), price=9)])
    row = [minutes.time(0)[:-1], "VIEW", "1234", "5678"]
    wrong = {"columns": ["1m_bucket", "action", "count", "sum_price"], "rows": [row]}
    large = {**wrong, "rows": [row] * 5_000}
    assert len(json.dumps(large)) > 200_000
    pairs = [("time_range", minutes.range(0, 1)), ("action", "VIEW"), ("aggregates", "COUNT")]
    expected = api.oracle.aggregates(minutes.range(0, 1), "VIEW", ["COUNT"])

    async def check(body: bytes) -> None:
        answer = await api.post_aggregates(pairs, body)
        assert answer.status_code == 200
        assert answer.json() == expected

    await asyncio.gather(
        *map(check, (json.dumps(wrong).encode(), json.dumps(large).encode(), b"{", b"\xff\x00"))
    )


async def test_an_aggregate_given_twice_is_two_columns(api: Api, minutes: Minutes) -> None:
    await api.accept([new_tag(new_cookie(), minutes.time(0, 1))])
    await api.check_aggregates(minutes.range(0, 1), "VIEW", ("COUNT", "COUNT"))


async def test_every_acknowledged_tag_is_counted_while_others_come(
    api: Api, minutes: Minutes
) -> None:
    # With a promise of 0 s an answer holds everything acknowledged before the query.
    for _ in range(3):
        await api.accept(random_tags(minutes, 60, seed=len(api.oracle.tags)))
        await api.check_aggregates(minutes.range())
