"""Use case 1: valid and invalid tags, and the answers to them."""

import asyncio
import json
from typing import Any

import pytest

from tests.contract.api import Api, Minutes, check_problem, new_cookie
from tests.oracle import Tag
from tests.tags import MISSING, changed, new_tag

FIELDS = ["time", "cookie", "country", "device", "action", "origin", "product_info"]
PRODUCT_FIELDS = ["product_id", "brand_id", "category_id", "price"]
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


async def nothing_stored(api: Api, tag: Tag, minutes: Minutes) -> None:
    """Check that the refused tag is in neither profile nor aggregates."""
    await api.check_profile(tag["cookie"], minutes.range(0, 11))
    await api.check_aggregates(minutes.range())


async def test_a_tag_is_answered_204_without_content(api: Api, minutes: Minutes) -> None:
    answer = await api.post_tag(new_tag(new_cookie(), minutes.time(0, 649)))
    assert (answer.status_code, answer.content) == (204, b"")
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("device", ["PC", "MOBILE", "TV"])
@pytest.mark.parametrize("action", ["VIEW", "BUY"])
async def test_devices_and_actions(api: Api, minutes: Minutes, device: str, action: str) -> None:
    cookie = new_cookie()
    await api.accept([new_tag(cookie, minutes.time(0, 1), device=device, action=action)])
    await api.check_profile(cookie, minutes.range())


async def test_every_broken_rule_is_422_by_name_and_stores_nothing(
    api: Api, minutes: Minutes
) -> None:
    tag = new_tag(new_cookie(), minutes.time(0, 1))
    wrong: list[tuple[str, object]] = [(field, MISSING) for field in FIELDS]
    wrong += [(f"product_info.{field}", MISSING) for field in PRODUCT_FIELDS]
    wrong += [(field, 5) for field in FIELDS]
    wrong += [(field, None) for field in FIELDS]
    wrong += [(field, "") for field in FIELDS]
    for field in ("cookie", "country", "origin", "product_info.brand_id"):
        wrong.append((field, "x" * 129))
    wrong += [("device", "PHONE"), ("device", "pc"), ("action", "CLICK"), ("action", "view")]
    for price in (INT32_MIN - 1, INT32_MAX + 1, "289", 1.5, True):
        wrong.append(("product_info.price", price))
    product_ids: list[object] = [None, True, 1.5, "", [], 2**63]
    for product_id in product_ids:
        wrong.append(("product_info.product_id", product_id))
    for time in (
        "2022-03-01T00:00:00",
        "2022-03-01T00:00:00.1Z",
        "2022-03-01T00:00:00.0000Z",
        "2022-03-01 00:00:00Z",
        "2022-03-01T00:00:00+00:00",
        "2022-02-29T00:00:00Z",
        "2022-03-01T24:00:00Z",
        "1969-12-31T23:59:59Z",
    ):
        wrong.append(("time", time))

    async def check(field: str, value: object) -> None:
        check_problem(await api.post_tag(changed(tag, field, value)), 422, field)

    await asyncio.gather(*(check(field, value) for field, value in wrong))
    await nothing_stored(api, tag, minutes)


async def test_what_cannot_be_read_is_400_and_stores_nothing(api: Api, minutes: Minutes) -> None:
    tag = new_tag(new_cookie(), minutes.time(0, 1))
    body = json.dumps(tag).encode()
    for wrong in (
        b"",
        b"{",
        b"tag",
        body[:-1],
        body + b"}",
        body + body,
        body.replace(b"CL", b"\xff\xfe"),
        body.decode().encode("utf-16"),
        b'{"x":' + b"[" * 20_000,
    ):
        check_problem(await api.post_tag(wrong), 400)
    await nothing_stored(api, tag, minutes)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"{}"])
async def test_json_that_is_no_tag_is_422(api: Api, body: bytes) -> None:
    answer = await api.post_tag(body)
    check_problem(answer, 422, answer.json()["field"])


async def test_bodies_up_to_64_kib_are_taken_and_no_longer_ones(api: Api, minutes: Minutes) -> None:
    tag = new_tag(new_cookie(), minutes.time(0, 1))
    body = json.dumps(tag).encode()
    for size in (64 * 1024 + 1, 1_000_000):
        check_problem(await api.post_tag(body.ljust(size)), 413)
    await api.check_profile(tag["cookie"], minutes.range())
    answer = await api.post_tag(body.ljust(64 * 1024))
    assert answer.status_code == 204
    api.oracle.accept(tag)
    await api.check_profile(tag["cookie"], minutes.range())
    await api.check_aggregates(minutes.range())


async def test_unknown_fields_are_ignored(api: Api, minutes: Minutes) -> None:
    tag = new_tag(new_cookie(), minutes.time(0, 1))
    extended = {
        **tag,
        "session": {"id": [1, None]},
        "product_info": {**tag["product_info"], "x": 1},
    }
    assert (await api.post_tag(extended)).status_code == 204
    api.oracle.accept(tag)
    await api.check_profile(tag["cookie"], minutes.range())
    await api.check_aggregates(minutes.range())


async def test_the_content_type_does_not_matter(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    for number, headers in enumerate(
        (
            {},
            {"content-type": "text/plain"},
            {"content-type": "application/json; charset=latin-1"},
            {"content-type": "application/x-www-form-urlencoded"},
        )
    ):
        tag = new_tag(cookie, minutes.time(0, number))
        answer = await api.http.post(
            "/user_tags", content=json.dumps(tag).encode(), headers=headers
        )
        assert answer.status_code == 204
        api.oracle.accept(tag)
    await api.check_profile(cookie, minutes.range())


async def test_every_value_comes_back_exactly_as_it_came(api: Api, minutes: Minutes) -> None:
    cookie = new_cookie()
    variants: list[dict[str, Any]] = [
        {"product_id": 0},
        {"product_id": "0"},
        {"product_id": 12486},
        {"product_id": "12486"},
        {"product_id": -1},
        {"product_id": 2**63 - 1},
        {"product_id": "a_b"},
        {"price": 0},
        {"price": -1},
        {"price": INT32_MIN},
        {"price": INT32_MAX},
        {"origin": "a_b", "brand_id": "c", "category_id": "d"},
        {"origin": "a", "brand_id": "b_c", "category_id": "d"},
        {"country": "x" * 128, "origin": "ż" * 128, "brand_id": "\U0001f600" * 128},
        {"brand_id": "Nike "},
        {"brand_id": " nike"},
        {"brand_id": '"\\/\b\n\x00\u2028'},
    ]
    tags = [
        new_tag(cookie, minutes.time(0, at + 1), **variant) for at, variant in enumerate(variants)
    ]
    tags += [
        new_tag(cookie, minutes.time(1), action="BUY"),
        new_tag(cookie, minutes.time(1, 0), action="BUY"),
        new_tag(cookie, minutes.time(2, 0), action="BUY"),
        new_tag(cookie, minutes.time(3, 999), action="BUY"),
    ]
    await api.accept(tags)
    found = await api.profile(cookie, minutes.range())
    await api.check_profile(cookie, minutes.range())
    for tag, back in zip(reversed(tags[: len(variants)]), found["views"], strict=True):
        assert back == tag
        kept = back["product_info"]["product_id"]
        assert type(kept) is type(tag["product_info"]["product_id"])


async def test_the_same_tag_twice_is_two_events_and_one_entry_of_the_profile(
    api: Api, minutes: Minutes
) -> None:
    tag = new_tag(new_cookie(), minutes.time(0, 1))
    await api.accept([tag])
    assert (await api.post_tag(tag)).status_code == 204
    await api.check_profile(tag["cookie"], minutes.range())
    api.oracle.accept(tag)
    await api.check_aggregates(minutes.range())
