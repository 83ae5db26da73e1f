"""A tag's JSON: every rule of every field, and nothing kept but what came."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.core.errors import Problem, RuleBroken, Unreadable
from serve_app.core.tag import UserTag
from tests.tags import MISSING, decode_tag
from tests.tags import changed as changed_tag
from tests.unit.core.strategies import INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, user_tags


def plain() -> dict[str, Any]:
    """The example of docs/contract.md."""
    return {
        "time": "2022-03-01T00:00:00.649Z",
        "cookie": "9WkYGxkiXBfpMIjBGURC",
        "country": "CL",
        "device": "MOBILE",
        "action": "VIEW",
        "origin": "CAMPAIGN_321",
        "product_info": {
            "product_id": 12486,
            "brand_id": "Ebros_Gift",
            "category_id": "Trousers",
            "price": 28969,
        },
    }


def changed(path: str, value: object) -> bytes:
    """The body of `plain` with one value replaced, or left out for `MISSING`."""
    return changed_tag(plain(), path, value)


TEXT_FIELDS = ["cookie", "country", "origin", "product_info.brand_id", "product_info.category_id"]
FIELDS = [*plain(), *(f"product_info.{name}" for name in plain()["product_info"])]


def refused(body: bytes) -> RuleBroken:
    with pytest.raises(RuleBroken) as caught:
        decode_tag(body)
    assert caught.value.status == 422
    assert caught.value.detail.startswith(f"{caught.value.field}: ")
    return caught.value


def test_the_example_of_the_contract_comes_back_whole() -> None:
    tag = decode_tag(json.dumps(plain()).encode())
    assert msgspec.to_builtins(tag) == plain()
    assert tag.time_ms == 1_646_092_800_649


@given(user_tags)
def test_every_legal_tag_comes_back_whole(tag: UserTag) -> None:
    content = msgspec.to_builtins(tag)
    for body in (json.dumps(content), json.dumps(content, ensure_ascii=False)):
        assert msgspec.to_builtins(decode_tag(body.encode())) == content


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named_by_its_path(field: str) -> None:
    assert refused(changed(field, MISSING)).field == field


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [None, True, 1.5, [], ["x"]])
def test_a_value_of_another_type_is_refused_by_its_path(field: str, value: object) -> None:
    assert refused(changed(field, value)).field == field


@pytest.mark.parametrize("field", [*TEXT_FIELDS, "time", "device", "action", "product_info"])
def test_a_number_is_no_text(field: str) -> None:
    assert refused(changed(field, 7)).field == field


@pytest.mark.parametrize("field", [*TEXT_FIELDS, "product_info.product_id"])
def test_texts_have_1_to_128_characters_of_any_width(field: str) -> None:
    for text in ("x", "x" * 128, "\U0001f600" * 128, " ", "\x00", "a_b"):
        decode_tag(changed(field, text))
    for text in ("", "x" * 129, "é" * 129):
        assert refused(changed(field, text)).field == field


@pytest.mark.parametrize("value", ["pc", "MOBILE ", "PHONE", "", "VIEW"])
def test_other_devices_are_refused(value: str) -> None:
    assert refused(changed("device", value)).field == "device"


@pytest.mark.parametrize("value", ["view", "VIEW ", "CLICK", "", "PC"])
def test_other_actions_are_refused(value: str) -> None:
    assert refused(changed("action", value)).field == "action"


@pytest.mark.parametrize("device", ["PC", "MOBILE", "TV"])
@pytest.mark.parametrize("action", ["VIEW", "BUY"])
def test_all_devices_and_actions_are_taken(device: str, action: str) -> None:
    tag = decode_tag(json.dumps(plain() | {"device": device, "action": action}).encode())
    assert (tag.device, tag.action) == (device, action)


@pytest.mark.parametrize("price", [INT32_MIN, -1, 0, 1, INT32_MAX])
def test_a_price_is_any_int32(price: int) -> None:
    assert decode_tag(changed("product_info.price", price)).product_info.price == price


@pytest.mark.parametrize(
    "price", [INT32_MIN - 1, INT32_MAX + 1, INT64_MAX, 2**64, 10**30, "28969", 0.5, True, None]
)
def test_other_prices_are_refused(price: object) -> None:
    assert refused(changed("product_info.price", price)).field == "product_info.price"


@pytest.mark.parametrize("product_id", [0, 1, -1, INT64_MIN, INT64_MAX, "0", "12486", "a_b", "007"])
def test_a_product_id_keeps_its_type(product_id: int | str) -> None:
    kept = decode_tag(changed("product_info.product_id", product_id)).product_info.product_id
    assert kept == product_id
    assert type(kept) is type(product_id)


@pytest.mark.parametrize("product_id", [INT64_MIN - 1, INT64_MAX + 1, 1.5, True, None, "", {}])
def test_other_product_ids_are_refused(product_id: object) -> None:
    body = changed("product_info.product_id", product_id)
    assert refused(body).field == "product_info.product_id"


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2022-03-01T00:00:01Z", 1_646_092_801_000),
        ("2022-03-01T00:00:01.000Z", 1_646_092_801_000),
        ("2022-03-01T00:00:00.649Z", 1_646_092_800_649),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000),
    ],
)
def test_times_come_back_as_they_came(text: str, time_ms: int) -> None:
    tag = decode_tag(changed("time", text))
    assert tag.time == text
    assert tag.time_ms == time_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "2022-03-01T00:00:00",
        "2022-03-01T00:00:00.649",
        "2022-03-01T00:00:00.649z",
        "2022-03-01T00:00:00.649+00:00",
        "2022-03-01T00:00:00.6Z",
        "2022-03-01T00:00:00.649123Z",
        "2022-03-01 00:00:00.649Z",
        "2022-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2022-03-01T24:00:00Z",
        "2022-03-01T00:00:60Z",
        "1969-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "\u0662022-03-01T00:00:00Z",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    assert refused(changed("time", text)).field == "time"


def test_unknown_fields_are_ignored_whatever_they_hold() -> None:
    body = plain() | {"extra": {"deep": [1, None, {"x": []}]}, "": 1}
    body["product_info"]["colour"] = [["red"]]
    assert msgspec.to_builtins(decode_tag(json.dumps(body).encode())) == plain()


def test_the_last_of_equal_names_counts() -> None:
    body = json.dumps(plain()).replace('"country": "CL"', '"country": "XX", "country": "CL"')
    assert decode_tag(body.encode()).country == "CL"


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"1", b'"tag"', b"true", b"{}", json.dumps([plain()]).encode()],
)
def test_json_that_is_no_tag_breaks_a_rule(body: bytes) -> None:
    refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"tag",
        b"{'time': 1}",
        b"NaN",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"\x00",
        json.dumps(plain()).encode() + b"x",
        json.dumps(plain()).encode()[:-1],
        json.dumps(plain()).encode() * 2,
        json.dumps(plain()).encode("utf-16"),
        json.dumps(plain()).encode().replace(b"CL", b"\xc3\x28"),
        json.dumps(plain()).encode().replace(b"CL", b"\xed\xa0\x80"),  # a surrogate in bytes
        json.dumps(plain()).encode().replace(b"CL", b"C\nL"),
        json.dumps(plain()).encode().replace(b"CL", b"C\x00L"),
        json.dumps(plain()).encode().replace(b"28969", b"028969"),
    ],
)
def test_what_is_no_json_in_utf8_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        decode_tag(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("escape", [rb"\ud800", rb"\udfff", rb"a\ud800b", rb"\udc00\ud800"])
@pytest.mark.parametrize("field", [b"9WkYGxkiXBfpMIjBGURC", b"CAMPAIGN_321", b"Trousers"])
def test_a_lone_surrogate_is_refused_since_no_store_can_hold_it(
    field: bytes, escape: bytes
) -> None:
    with pytest.raises(Problem) as caught:
        decode_tag(json.dumps(plain()).encode().replace(field, escape))
    assert caught.value.status in (400, 422)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_and_harmless(opening: bytes) -> None:
    for depth in (2_000, 10_000):
        for body in (opening * depth, b'{"x":' + opening * depth):
            with pytest.raises(Problem):
                decode_tag(body)
    assert decode_tag(json.dumps(plain()).encode()).country == "CL"


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_a_problem(body: bytes) -> None:
    with pytest.raises(Problem):
        decode_tag(body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(path=st.sampled_from(FIELDS), value=json_values)
def test_any_value_in_any_place_is_kept_or_refused_there(path: str, value: object) -> None:
    body = changed(path, value)
    try:
        tag = decode_tag(body)
    except RuleBroken as problem:
        field = problem.field
    else:
        assert json.loads(msgspec.json.encode(tag)) == json.loads(body)
        return
    # A wrong object in the place of product_info may be refused for what it lacks.
    assert field == path or field.startswith(f"{path}.")
