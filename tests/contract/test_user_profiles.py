"""Use case 2: filter, then sort, then cut."""

import asyncio
import json
import random
from urllib.parse import quote

import pytest

from tests.contract.api import Api, Minutes, check_problem, new_cookie
from tests.tags import new_tag


def cut(minutes: Minutes, first: str, last: str) -> str:
    """A range between two moments of the first minute, such as ``00.999`` and ``01``."""
    start = minutes.time(0)[:-3]
    return f"{start}{first}_{start}{last}"


async def test_tags_arriving_in_any_order_are_answered_newest_first(
    api: Api, minutes: Minutes
) -> None:
    cookie = new_cookie()
    rng = random.Random(5)
    tags = [
        new_tag(cookie, minutes.time(rng.randrange(10), ms), action=rng.choice(["VIEW", "BUY"]))
        for ms in range(120)
    ]
    await api.accept(tags)
    for limit in (None, 0, 1, 2, 10, 199, 200, 201, 1_000_000):
        await api.check_profile(cookie, minutes.range(), limit)
    for first, last in ((0, 1), (3, 7), (5, 5), (9, 10)):
        for limit in (None, 1, 5):
            await api.check_profile(cookie, minutes.range(first, last), limit)


async def test_the_limit_keeps_the_newest_of_what_the_range_leaves(
    api: Api, minutes: Minutes
) -> None:
    cookie = new_cookie()
    tags = [new_tag(cookie, minutes.time(minute, 5)) for minute in range(10)]
    await api.accept(tags)
    found = await api.profile(cookie, minutes.range(2, 6), 2)
    assert found["views"] == [tags[5], tags[4]]


async def test_of_more_than_200_the_newest_by_event_time_stay(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    tags = [new_tag(cookie, minutes.time(0, ms)) for ms in range(1, 261)]
    tags += [new_tag(cookie, minutes.time(0, ms), action="BUY") for ms in range(1, 31)]
    # Newest first, so that an order by arrival would keep others.
    await api.accept(reversed(tags), at_once=20)
    found = await api.profile(cookie, minutes.range())
    assert len(found["views"]) == 200
    assert len(found["buys"]) == 30
    await api.check_profile(cookie, minutes.range())
    # 200 is also the default limit.
    await api.check_profile(cookie, minutes.range(), 200)
    await api.check_profile(cookie, cut(minutes, "00.100", "00.200"), 1_000)
    await api.check_profile(cookie, cut(minutes, "00.100", "00.200"), 7)


async def test_each_action_has_a_limit_of_its_own(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    tags = [new_tag(cookie, minutes.time(0, ms), action="VIEW") for ms in (1, 2, 3)]
    tags += [new_tag(cookie, minutes.time(0, ms), action="BUY") for ms in (4, 5, 6)]
    await api.accept(tags)
    found = await api.profile(cookie, minutes.range(), 2)
    assert found == {
        "cookie": cookie,
        "views": [tags[2], tags[1]],
        "buys": [tags[5], tags[4]],
    }


async def test_from_is_inclusive_and_to_is_exclusive(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    whole = new_tag(cookie, minutes.time(1 / 60))
    tags = [new_tag(cookie, minutes.time(0, 999)), whole, new_tag(cookie, minutes.time(1 / 60, 1))]
    assert whole["time"].endswith(":01Z")
    await api.accept(tags)
    for first, last, expected in (
        ("00.999", "01.001", [whole, tags[0]]),
        ("01.000", "01.001", [whole]),
        ("01", "01.001", [whole]),
        ("01", "02", [tags[2], whole]),
        ("00.999", "01", [tags[0]]),
        ("00.999", "01.000", [tags[0]]),
        ("00.998", "00.999", []),
        ("01.001", "01.002", [tags[2]]),
        ("01.002", "59.999", []),
        ("01", "01", []),
    ):
        found = await api.profile(cookie, cut(minutes, first, last))
        assert found["views"] == expected, (first, last)
        assert found["buys"] == []
        await api.check_profile(cookie, cut(minutes, first, last))


async def test_tags_of_equal_time_are_all_there(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    tags = [new_tag(cookie, minutes.time(0, 5), product_id=n) for n in range(20)]
    tags += [new_tag(cookie, minutes.time(0, ms)) for ms in (4, 6)]
    await api.accept(tags)
    await api.check_profile(cookie, minutes.range())
    few = (await api.profile(cookie, minutes.range(), 8))["views"]
    assert few[0] == tags[21]
    assert len({json.dumps(tag) for tag in few[1:]}) == 7
    assert all(tag in tags[:20] for tag in few[1:])


@pytest.mark.parametrize("limit", [None, 0, 200])
async def test_an_unknown_cookie_has_two_empty_lists(
    api: Api, minutes: Minutes, limit: int | None
) -> None:
    cookie = new_cookie()
    found = await api.profile(cookie, minutes.range(), limit)
    assert found == {"cookie": cookie, "views": [], "buys": []}


async def test_any_cookie_has_a_profile_of_its_own(api: Api, minutes: Minutes) -> None:
    base = new_cookie()
    cookies = [
        base,
        base.upper(),
        f"{base} ",
        f" {base}",
        f"{base}/a",
        f"/{base}",
        f"{base}?limit=0",
        f"{base}#x",
        f"{base}+",
        f"{base}%2B",
        f"{base}_",
        f"{{{base}}}",
        f"}}{base}",
        f"%7D{base}",
        f"{base}ż",
        f"{base}\U0001f600",
        f"{base}..",
        f"{base};",
        f"{base}&",
        "ż" * 96 + base,
    ]
    assert len(cookies[-1]) == 128
    tags = [new_tag(cookie, minutes.time(0, at + 1)) for at, cookie in enumerate(cookies)]
    await api.accept(tags)
    for cookie, tag in zip(cookies, tags, strict=True):
        found = await api.profile(cookie, minutes.range())
        assert found == {"cookie": cookie, "views": [tag], "buys": []}


async def test_a_plus_in_the_path_is_a_plus(api: Api, minutes: Minutes) -> None:
    cookie = f"{new_cookie()}+"
    await api.accept([new_tag(cookie, minutes.time(0, 1))])
    for path in (cookie, cookie.replace("+", "%2B")):
        answer = await api.http.post(f"/user_profiles/{path}?time_range={minutes.range()}")
        assert answer.json() == api.oracle.profile(cookie, minutes.range())


async def test_a_percent_encoded_query_is_the_same(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    await api.accept([new_tag(cookie, minutes.time(0, 1))])
    encoded = quote(minutes.range(), safe="")
    assert "%3A" in encoded
    answer = await api.http.post(f"/user_profiles/{cookie}?limit=5&time_range={encoded}&x=1")
    assert answer.json() == api.oracle.profile(cookie, minutes.range(), 5)


async def test_the_body_changes_nothing(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    tag = new_tag(cookie, minutes.time(0, 1))
    await api.accept([tag])
    wrong = {"cookie": "x", "views": [tag] * 3, "buys": [tag]}
    large = {"cookie": cookie, "views": [], "buys": [tag] * 1_000}
    bodies = [json.dumps(wrong).encode(), json.dumps(large).encode(), b"{", b"\xff\x00"]
    assert len(bodies[1]) > 200_000
    for body in bodies:
        answer = await api.post_profile(cookie, minutes.range(), body=body)
        assert answer.status_code == 200
        assert answer.json() == api.oracle.profile(cookie, minutes.range())


async def test_broken_rules_are_422_by_name(api: Api, minutes: Minutes) -> None:
    good = f"time_range={minutes.range()}"
    day = "2022-03-01T00:00"
    for query, field in (
        ("", "time_range"),
        ("limit=5", "time_range"),
        ("time_range=", "time_range"),
        (f"time_range={day}:01", "time_range"),
        (f"time_range={day}:01Z_{day}:02Z", "time_range"),
        (f"time_range={day}:01.1_{day}:02", "time_range"),
        (f"time_range={day}:02_{day}:01", "time_range"),
        ("time_range=2022-02-30T00:00:00_2022-03-01T00:00:00", "time_range"),
        (f"time_range={day}:01+_{day}:02", "time_range"),
        (f"{good}&{good}", "time_range"),
        (f"{good}&limit=-1", "limit"),
        (f"{good}&limit=", "limit"),
        (f"{good}&limit=1.5", "limit"),
        (f"{good}&limit=ten", "limit"),
        (f"{good}&limit=1&limit=2", "limit"),
    ):
        answer = await api.http.post(f"/user_profiles/abc?{query}", content=b"{}" * 10_000)
        check_problem(answer, 422, field)
    check_problem(await api.http.post(f"/user_profiles/?{good}"), 422, "cookie")
    check_problem(await api.http.post(f"/user_profiles/{'x' * 129}?{good}"), 422, "cookie")


async def test_what_is_not_utf8_is_400(api: Api, minutes: Minutes) -> None:
    good = f"time_range={minutes.range()}"
    check_problem(await api.http.post(f"/user_profiles/%FF?{good}"), 400)
    check_problem(await api.http.post(f"/user_profiles/a%C3%28?{good}"), 400)
    check_problem(await api.http.post(f"/user_profiles/a?{good}&limit=%FF"), 400)


async def test_a_tag_is_in_its_profile_in_time(api: Api, minutes: Minutes) -> None:
    async def one(number: int) -> None:
        tag = new_tag(new_cookie(), minutes.time(0, number))
        answer = await api.post_tag(tag)
        assert answer.status_code == 204
        api.oracle.accept(tag)
        await api.check_profile(tag["cookie"], minutes.range())

    await asyncio.gather(*map(one, range(50)))
