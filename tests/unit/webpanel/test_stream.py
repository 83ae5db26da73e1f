"""The stream: reproducible, skewed, with the contract's forms and cardinalities."""

import json
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.panel.reference_server import epoch_ms
from tests.webpanel import catalogue as shop
from tests.webpanel.eventtime import parse_event_time, range_time, tag_time
from tests.webpanel.options import STREAM_START_MS, SubscriptionOptions
from tests.webpanel.stream import (
    action_of,
    cookie_of,
    origin_of,
    product_of,
    tag_codes,
    tag_json,
)


def test_same_seed_same_tags() -> None:
    """And another seed, other tags. The first code is pinned: reports stay comparable."""
    first = list(islice(tag_codes(1), 3000))
    assert first == list(islice(tag_codes(1), 3000))
    assert first[:1000] != list(islice(tag_codes(2), 1000))


def test_cardinalities() -> None:
    """As the contract gives them, all names different."""
    assert len(set(shop.COUNTRIES)) == 100
    assert len(set(shop.ORIGINS)) == 1000
    assert len(set(shop.BRANDS)) == 250
    assert len(set(shop.CATEGORIES)) == 67
    assert len({shop.cookie_name(cookie) for cookie in range(0, 1_000_000, 7)}) == 142_858
    assert {len(shop.cookie_name(cookie)) for cookie in (0, 1, 999_999)} == {20}
    assert 0 in shop.PRODUCT_PRICE
    assert max(shop.PRODUCT_PRICE) < 2**31


def test_unknown_cookies_are_unknown() -> None:
    """Their second half ends no cookie."""
    halves = {shop.cookie_name(cookie)[10:] for cookie in range(1000)}
    assert shop.unknown_cookie(5)[10:] not in halves
    assert len(shop.unknown_cookie(5)) == 20


def test_skew() -> None:
    """A hot cookie, a top category with a fifth, one BUY in ten, many cookies seen once."""
    codes = list(islice(tag_codes(1), 50_000))
    cookies = Counter(map(cookie_of, codes))
    assert 300 < cookies.most_common(1)[0][1] < 1000
    assert len(cookies) > 35_000
    categories = Counter(shop.PRODUCT_CATEGORY[product_of(code)] for code in codes)
    assert 0.15 < categories.most_common(1)[0][1] / 50_000 < 0.3
    assert 0.08 < sum(map(action_of, codes)) / 50_000 < 0.12
    assert len(set(map(origin_of, codes))) == 1000
    assert any(product_of(code) == 0 for code in codes)


def test_json_form() -> None:
    """The keys, types and order of the contract's example."""
    code = next(tag_codes(1))
    tag = json.loads(tag_json(STREAM_START_MS + 649, code))
    assert list(tag) == [
        "time", "cookie", "country", "device", "action", "origin", "product_info",
    ]  # fmt: skip
    assert tag["time"] == "2022-03-01T00:00:00.649Z"
    assert list(tag["product_info"]) == ["product_id", "brand_id", "category_id", "price"]
    assert tag["cookie"] == shop.cookie_name(cookie_of(code))
    assert tag["origin"] == shop.ORIGINS[origin_of(code)]
    assert tag["action"] == shop.ACTIONS[action_of(code)]
    assert tag["product_info"]["product_id"] == product_of(code)


@given(st.integers(0, 4_000_000_000_000))
def test_times(ms: int) -> None:
    """Every form reads back as the same millisecond; whole seconds have no fraction."""
    assert epoch_ms(tag_time(ms)) == ms
    assert parse_event_time(tag_time(ms)) == ms
    assert ("." in tag_time(ms)) == bool(ms % 1000)
    assert epoch_ms(range_time(ms, keep_zeros=True)) == ms
    assert "." in range_time(ms, keep_zeros=True)


@given(st.floats(1, 5000), st.integers(0, 90_000_000))
def test_event_time_grows(step: float, index: int) -> None:
    """No two tags share a millisecond, whatever the step."""
    options = SubscriptionOptions(step_ms=step)
    assert options.event_ms(index) < options.event_ms(index + 1)


def test_nonsense_is_refused() -> None:
    """With the parameter's name."""
    with pytest.raises(ValueError, match="step"):
        SubscriptionOptions(step_ms=0.5)
    with pytest.raises(ValueError, match="rate"):
        SubscriptionOptions(rate=0)
