"""What hypothesis draws from: every value that the contract allows, corners included."""

from datetime import datetime

from hypothesis import strategies as st

from serve_app.core.tag import ProductInfo, UserTag

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
LAST_MS = 253_402_300_799_999

utf8 = st.characters(codec="utf-8")
texts = st.text(utf8, max_size=128)
names = st.text(utf8, min_size=1, max_size=128)
awkward_cookies = st.text(st.sampled_from("{}%27DdéA\x00 _/"), min_size=1, max_size=12)
cookies = names | awkward_cookies
actions = st.sampled_from(["VIEW", "BUY"])
devices = st.sampled_from(["PC", "MOBILE", "TV"])
prices = st.sampled_from([INT32_MIN, -1, 0, 1, INT32_MAX]) | st.integers(INT32_MIN, INT32_MAX)
product_ids = (
    st.sampled_from([INT64_MIN, 0, INT64_MAX, "0", "12486"])
    | st.integers(INT64_MIN, INT64_MAX)
    | names
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59))


@st.composite
def tag_times(draw: st.DrawFn) -> str:
    """A time as a tag may give it: with milliseconds, ``.000`` among them, or without."""
    text = draw(moments).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = draw(st.none() | st.just(0) | st.integers(0, 999))
    return f"{text}Z" if fraction is None else f"{text}.{fraction:03d}Z"


user_tags = st.builds(
    UserTag,
    time=tag_times(),
    cookie=cookies,
    country=names,
    device=devices,
    action=actions,
    origin=names,
    product_info=st.builds(
        ProductInfo, product_id=product_ids, brand_id=names, category_id=names, price=prices
    ),
)
