"""The stream of user tags: a seeded sequence of 64-bit codes, and the JSON of a code.

A tag is (event time in ms, code). The code holds all other fields in 55 bits, so that an oracle
keeps a tag in 16 bytes and can restore its exact JSON.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from tests.webpanel import catalogue as shop
from tests.webpanel.eventtime import tag_time

# Bits from the right: action 1, device 2, country 7, origin 10, product 15, cookie 20.
_ORIGIN_SHIFT, _PRODUCT_SHIFT, _COOKIE_SHIFT = 10, 20, 35
_CHUNK = 1024
_BUY_SHARE = 0.1
_DEVICE_WEIGHTS = (0.35, 0.6, 0.05)


def action_of(code: int) -> int:
    """0 for VIEW, 1 for BUY."""
    return code & 1


def origin_of(code: int) -> int:
    """Number of the origin."""
    return code >> _ORIGIN_SHIFT & 0x3FF


def product_of(code: int) -> int:
    """Number of the product."""
    return code >> _PRODUCT_SHIFT & 0x7FFF


def cookie_of(code: int) -> int:
    """Number of the cookie."""
    return code >> _COOKIE_SHIFT & 0xFFFFF


def _visitor(code: int) -> str:
    """The JSON between cookie and origin for each value of the 10 lowest bits."""
    action, device, country = code & 1, code >> 1 & 3, code >> 3
    return (
        f'","country":"{shop.COUNTRIES[country]}","device":"{shop.DEVICES[device]}"'
        f',"action":"{shop.ACTIONS[action]}","origin":"'
    )


# (country, device, action) is a single draw: the weights are independent.
_VISITORS = [
    country << 3 | device << 1 | action
    for country in range(100)
    for device in range(3)
    for action in range(2)
]
_VISITOR_WEIGHTS = list(
    accumulate(
        1
        / (1 + (code >> 3))
        * _DEVICE_WEIGHTS[code >> 1 & 3]
        * (_BUY_SHARE if code & 1 else 1 - _BUY_SHARE)
        for code in _VISITORS
    )
)
_VISITOR_JSON = {code: _visitor(code) for code in _VISITORS}
_ORIGIN_JSON = [f'{name}","product_info":' for name in shop.ORIGINS]
_ORIGIN_CODES = [origin << _ORIGIN_SHIFT for origin in range(1000)]
_ORIGIN_WEIGHTS = shop.zipf(1000, 0.8)
_PRODUCT_JSON = [
    f'{{"product_id":{number},"brand_id":"{shop.BRANDS[shop.PRODUCT_BRAND[number]]}",'
    f'"category_id":"{shop.CATEGORIES[shop.PRODUCT_CATEGORY[number]]}",'
    f'"price":{shop.PRODUCT_PRICE[number]}}}}}'
    for number in range(shop.PRODUCTS)
]
# The most popular product is not number 0, but number 0 is among the popular ones.
_PRODUCT_CODES = [
    (rank * 7919 + 7919 * 19_970) % shop.PRODUCTS << _PRODUCT_SHIFT for rank in range(shop.PRODUCTS)
]
_PRODUCT_WEIGHTS = shop.zipf(shop.PRODUCTS, 0.8)


def _chunk(rng: Random) -> list[int]:
    """The next 1,024 codes."""
    draw = rng.random
    # u ** 3 is a Zipf draw with exponent 2/3 without a table: the first cookie gets 1% of the
    # tags, the first 20,000 of the million 27%. The multiplier spreads neighbours.
    cookies = [
        int(shop.COOKIES * draw() ** 3) * 611_953 % shop.COOKIES << _COOKIE_SHIFT
        for _ in range(_CHUNK)
    ]
    visitors = rng.choices(_VISITORS, cum_weights=_VISITOR_WEIGHTS, k=_CHUNK)
    origins = rng.choices(_ORIGIN_CODES, cum_weights=_ORIGIN_WEIGHTS, k=_CHUNK)
    products = rng.choices(_PRODUCT_CODES, cum_weights=_PRODUCT_WEIGHTS, k=_CHUNK)
    return [
        cookie | visitor | origin | item
        for cookie, visitor, origin, item in zip(cookies, visitors, origins, products, strict=True)
    ]


def tag_codes(seed: int) -> Iterator[int]:
    """The endless sequence of codes of a seed: tag 0, tag 1, ..."""
    rng = Random(f"web panel tags {seed}")
    while True:
        yield from _chunk(rng)


def tag_json(ms: int, code: int) -> str:
    """The JSON of a tag, keys in the order of the contract's example, no spaces."""
    return (
        f'{{"time":"{tag_time(ms)}","cookie":"{shop.cookie_name(code >> _COOKIE_SHIFT & 0xFFFFF)}'
        f"{_VISITOR_JSON[code & 0x3FF]}{_ORIGIN_JSON[code >> _ORIGIN_SHIFT & 0x3FF]}"
        f"{_PRODUCT_JSON[code >> _PRODUCT_SHIFT & 0x7FFF]}"
    )
