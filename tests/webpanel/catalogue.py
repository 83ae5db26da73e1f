"""The shop of the stream: cookies, countries, origins, brands, categories, products.

It is the same for every seed; the seed decides only which tags are sent.
"""

import string
from itertools import accumulate, product
from random import Random

COOKIES = 1_000_000
PRODUCTS = 20_000
DEVICES = ("PC", "MOBILE", "TV")
ACTIONS = ("VIEW", "BUY")
VIEW, BUY = 0, 1

_PART = 1000  # cookies are all pairs of 1,000 first and 1,000 second halves
_rng = Random("web panel catalogue")


def _parts(count: int) -> tuple[str, ...]:
    """`count` different strings of 10 letters."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(_rng.choices(string.ascii_letters, k=10))] = None
    return tuple(found)


def zipf(count: int, exponent: float) -> list[float]:
    """Cumulated weights of ranks 0, 1, ... with weight 1 / (rank + 1) ** exponent."""
    return list(accumulate(1.0 / (rank + 1) ** exponent for rank in range(count)))


_FIRST = _parts(_PART)
# One more second half than the stream uses: no cookie of the stream ends with it.
*_SECOND, _NOBODY = _parts(_PART + 1)


def cookie_name(cookie: int) -> str:
    """The 20 letters of cookie number 0 ... COOKIES - 1."""
    first, second = divmod(cookie, _PART)
    return _FIRST[first] + _SECOND[second]


def unknown_cookie(number: int) -> str:
    """20 letters that no tag of any stream carries."""
    return _FIRST[number % _PART] + _NOBODY


COUNTRIES = tuple(
    "".join(pair) for pair in _rng.sample(list(product(string.ascii_uppercase, repeat=2)), 100)
)
ORIGINS = tuple(f"CAMPAIGN_{number}" for number in _rng.sample(range(1000), 1000))

_STEMS = ("Ebr", "Nov", "Tal", "Vest", "Kor", "Mir", "Lun", "Ars", "Bel", "Dor", "Fen", "Gal")
_ENDS = ("os", "ia", "ex", "um", "io")
_KINDS = ("Gift", "Wear", "Home", "Sport", "Garden", "Toys", "Kids", "Studio")
_GOODS = (
    *("Shoes", "Accessories", "Trousers", "Jackets", "Shirts", "Bags", "Watches", "Dresses"),
    *("Books", "Lamps", "Tables", "Chairs", "Phones", "Cameras", "Bikes", "Tents", "Games"),
)


def _brands() -> tuple[str, ...]:
    """250 names. Some differ only in letter case or share a prefix up to a `_`, on purpose."""
    words = [stem + end for stem, end in product(_STEMS, _ENDS)]
    plain = [f"{word}_{kind}" for word, kind in product(words, _KINDS)]
    # With categories Shoes_Men and Men, `Novia` + `Shoes_Men` = `Novia_Shoes` + `Men`.
    traps = ["Ebros_Gift", "Novia", "Novia_Shoes", "NOVIA"]
    rest = [name for name in plain if name not in traps]
    return (*traps, *_rng.sample(rest, 246))


def _categories() -> tuple[str, ...]:
    """67 names, with one or three `_`, as real shops' feeds have them."""
    traps = ["Shoes___Accessories", "Trousers", "Shoes_Men", "Men"]
    joined = [f"{a}___{b}" for a, b in product(_GOODS, _GOODS) if a != b]
    sexed = [f"{a}_{b}" for a, b in product(_GOODS, ("Men", "Women", "Kids"))]
    rest = [name for name in (*_GOODS, *joined, *sexed) if name not in traps]
    return (*traps, *_rng.sample(rest, 63))


BRANDS = _brands()
CATEGORIES = _categories()

# Product number = product_id; brand, category and price of a product never change.
PRODUCT_BRAND = tuple(_rng.choices(range(250), cum_weights=zipf(250, 0.7), k=PRODUCTS))
PRODUCT_CATEGORY = tuple(_rng.choices(range(67), cum_weights=zipf(67, 1.0), k=PRODUCTS))
PRODUCT_PRICE = tuple(
    0 if _rng.random() < 0.01 else min(int(_rng.lognormvariate(8.5, 1.4)), 2**31 - 1)
    for _ in range(PRODUCTS)
)
