"""The Redis member: gives back everything, is the same for the same tag and for no other."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.core.member import decode_member, encode_member
from serve_app.core.tag import ProductInfo, UserTag
from tests.unit.core.strategies import user_tags

PRODUCT = ProductInfo(12486, "Ebros_Gift", "Trousers", 28969)
TAG = UserTag("2022-03-01T00:00:00.649Z", "cookie", "CL", "MOBILE", "VIEW", "CAMPAIGN_1", PRODUCT)


def encoded(tag: UserTag) -> bytes:
    return encode_member(tag, tag.time_ms)


def replaced(**changes: Any) -> UserTag:
    return msgspec.structs.replace(TAG, **changes)


def with_product(**changes: Any) -> UserTag:
    return replaced(product_info=msgspec.structs.replace(PRODUCT, **changes))


@given(user_tags)
@example(replaced(time="2022-03-01T00:00:01Z"))
@example(replaced(time="2022-03-01T00:00:01.000Z"))
@example(replaced(time="1970-01-01T00:00:00Z"))
@example(with_product(product_id="0"))
@example(with_product(product_id=0, price=0))
def test_every_field_comes_back_exactly(tag: UserTag) -> None:
    back = decode_member(encoded(tag), tag.cookie, tag.action)
    assert back == tag
    assert type(back.product_info.product_id) is type(tag.product_info.product_id)


@given(user_tags)
def test_the_same_tag_is_the_same_bytes(tag: UserTag) -> None:
    again = msgspec.json.decode(msgspec.json.encode(tag), type=UserTag)
    assert again is not tag
    assert encoded(again) == encoded(tag)


@given(first=user_tags, second=user_tags)
def test_different_tags_are_different_bytes(first: UserTag, second: UserTag) -> None:
    # The key tells the cookie and the action.
    second = msgspec.structs.replace(second, cookie=first.cookie, action=first.action)
    assert (encoded(first) == encoded(second)) == (first == second)


@pytest.mark.parametrize(
    "other",
    [
        replaced(time="2022-03-01T00:00:00.648Z"),
        replaced(country="CL "),
        replaced(country="cl"),
        replaced(device="PC"),
        replaced(device="TV"),
        replaced(origin="CAMPAIGN_2"),
        with_product(product_id="12486"),
        with_product(product_id=12487),
        with_product(brand_id="Trousers", category_id="Ebros_Gift"),
        with_product(price=28968),
        with_product(price=-28969),
    ],
)
def test_one_changed_field_changes_the_bytes(other: UserTag) -> None:
    assert encoded(other) != encoded(TAG)


def test_a_whole_second_with_and_without_its_fraction_are_two_tags() -> None:
    short, long = replaced(time="2022-03-01T00:00:01Z"), replaced(time="2022-03-01T00:00:01.000Z")
    assert short.time_ms == long.time_ms
    assert encoded(short) != encoded(long)


def test_a_usual_member_is_short() -> None:
    assert len(encoded(TAG)) <= 87


@given(st.binary(max_size=80))
def test_other_bytes_are_refused(member: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_member(member, "cookie", "VIEW")
