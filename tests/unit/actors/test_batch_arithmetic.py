"""A batch against sums made the slow way."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from actors.aggregates.batch import Batch
from serve_app.core.tag import ProductInfo, UserTag

NAMES = st.sampled_from(["a", "b", "a_b", "", "ä"])
TAGS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 200_000), st.integers(0, 20_000_000)),
        st.sampled_from(["VIEW", "BUY"]),
        NAMES,
        NAMES,
        NAMES,
        st.integers(-(2**31), 2**31 - 1),
    ),
    max_size=60,
)

Row = tuple[int | str, ...]
"""Key of a row: minute, action, and names or a dimension and its name."""


@given(TAGS)
def test_equals_sums_made_one_filter_at_a_time(
    tags: list[tuple[int, str, str, str, str, int]],
) -> None:
    batch = Batch()
    for time_ms, action, origin, brand, category, price in tags:
        product = ProductInfo(0, brand, category, price)
        batch.add(UserTag("", "c", "PL", "PC", action, origin, product), time_ms)

    full, full_sums = Counter[Row](), Counter[Row]()
    rolled, rolled_sums = Counter[Row](), Counter[Row]()
    for time_ms, action, origin, brand, category, price in tags:
        minute = time_ms // 1000 // 60
        full[minute, action, origin, brand, category] += 1
        full_sums[minute, action, origin, brand, category] += price
        for dimension, name in enumerate(["", origin, brand, category]):
            rolled[minute, action, dimension, name] += 1
            rolled_sums[minute, action, dimension, name] += price

    assert batch.full == {key: [full[key], full_sums[key]] for key in full}
    assert batch.rollups() == {key: [rolled[key], rolled_sums[key]] for key in rolled}
    assert batch.tags == len(tags)
    assert batch.watermark_ms == max((tag[0] for tag in tags), default=None)
    assert sum(batch.hours.values()) == len(tags)
    newest: dict[tuple[int, str], int] = {}
    for tag in tags:
        for key in enumerate(tag[2:5], start=1):
            newest[key] = max(newest.get(key, 0), tag[0] // 3_600_000)
    assert batch.names() == newest
    oldest: dict[tuple[int, str], int] = {}
    for tag in tags:
        for key in enumerate(tag[2:5], start=1):
            oldest[key] = min(oldest.get(key, 10**9), tag[0] // 3_600_000)
    for hour in {0, 1, *oldest.values()}:
        assert batch.names_from(hour) == {name for name in oldest if oldest[name] >= hour}
