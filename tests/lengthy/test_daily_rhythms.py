"""Retention over sixty similar days; tests of the rule itself are in tests/unit/actors."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.aggregates.retention import faded, first_kept_hour, remembered
from tests.unit.actors.test_retention_rule import NOW


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 50),
    st.lists(st.sampled_from([0, 1, 1, 3]), min_size=24, max_size=24).filter(lambda s: sum(s) > 4),
    st.integers(0, 40),
)
def test_any_daily_rhythm_is_retained_at_last(rate: int, shape: list[int], burst: int) -> None:
    """A burst at the start, then days that look alike, nights without a tag among them."""
    tags = Counter({NOW: burst * rate})
    first = 0
    for hour in range(NOW, NOW + 24 * 60):
        tags[hour] += rate * shape[hour % 24]
        tags = Counter(remembered(+tags, first))
        if (found := first_kept_hour(tags, 100)) > first:
            first, tags = found, Counter(faded({0: tags}, found)[0])
    # A day of seldom hours may take ten days to fill twice a day's number of hours.
    assert NOW + 24 * 60 - first <= 24 * 16
    # And nothing of the day before its newest tag.
    assert first <= NOW + 24 * 60 - 24
