"""The rule that says how much is kept: what it must never drop, and what it must drop at last."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from actors.aggregates import retention
from actors.aggregates.retention import (
    KEPT_HOURS,
    REMEMBERED_HOURS,
    HourTags,
    busy_hours,
    decode,
    encode,
    faded,
    first_kept_hour,
    merged,
    newest_hour,
    remembered,
)

unhurried = settings(deadline=None)
NOW = 500_000
"""Epoch hour of a normal stream's newest tags."""
HOURS = st.dictionaries(st.integers(0, 10**6), st.integers(1, 10**7), max_size=80)


def stream(hours: int, tags: int = 3_600, newest: int = NOW) -> dict[int, int]:
    """A steady rate for so many hours, of which the last is ``newest``."""
    return dict.fromkeys(range(newest - hours + 1, newest + 1), tags)


def test_a_day_is_kept_and_what_is_older_goes() -> None:
    for hours in (1, 24, 25, 26):
        assert first_kept_hour(stream(hours), 1) <= NOW - 24
    assert first_kept_hour(stream(24), 1) == 0
    # A tenth of the tags lies in the last three hours.
    assert first_kept_hour(stream(30), 1) == NOW - 2 - 24


@unhurried
@given(
    st.lists(st.integers(360, 3_600), min_size=1, max_size=60),
    st.dictionaries(st.integers(NOW + 2, NOW + 10**6), st.integers(1, 10**9), max_size=24),
    st.dictionaries(st.integers(0, NOW - 100), st.integers(1, 10**9), max_size=24),
)
def test_the_last_day_of_a_stream_stays_whatever_else_comes(
    rates: list[int], ahead: dict[int, int], behind: dict[int, int]
) -> None:
    """An uneven stream, and up to a day of hours with any number of tags of wrong dates."""
    normal = {NOW - age: tags for age, tags in enumerate(rates)}
    assert first_kept_hour({**behind, **normal, **ahead}, 1) <= NOW - 24


@unhurried
@given(st.integers(25, 200), st.integers(1, 4), st.data())
def test_a_whole_day_of_wrong_dates_must_outweigh_a_tenth(
    hours: int, share: int, data: st.DataObject
) -> None:
    normal = stream(hours)
    wrong = sum(normal.values()) * share // 50
    start = data.draw(st.integers(NOW + 30, NOW + 10**5))
    ahead = dict.fromkeys(range(start, start + 48), wrong // 48)
    assume(wrong // 48 > 0)
    assert first_kept_hour(normal | ahead, 1) <= NOW - 24


@unhurried
@given(st.integers(25, 100), st.integers(50, 1_000), st.integers(1, 1_000))
def test_scattered_wrong_dates_must_outweigh_half(hours: int, dates: int, each: int) -> None:
    """With holes between them, and more than twice a day of them."""
    normal = stream(hours)
    each = min(each, (sum(normal.values()) - 1) // dates)
    ahead = dict.fromkeys(range(NOW + 30, NOW + 30 + 10 * dates, 10), each)
    assert first_kept_hour(normal | ahead, 1) <= NOW - 24


@unhurried
@given(HOURS, st.integers(1, 10**6))
def test_the_rule_in_its_own_words(tags: dict[int, int], min_tags: int) -> None:
    first = first_kept_hour(tags, min_tags)
    if first == 0:
        return
    newer = sum(number for hour, number in tags.items() if hour >= first + KEPT_HOURS)
    assert newer >= min_tags
    assert newer * 10 >= sum(tags.values())
    assert len([hour for hour in tags if hour >= first]) > KEPT_HOURS


def retained(tags: Counter[int], first: int) -> tuple[int, Counter[int]]:
    """First kept hour and tags after a look at them."""
    found = first_kept_hour(tags, 10_000)
    if found <= first:
        return first, tags
    return found, Counter(faded({0: tags}, found)[0])


def test_a_burst_and_then_little() -> None:
    tags, first = Counter({NOW + hour: 3_600_000 for hour in range(3)}), 0
    for hour in range(NOW + 3, NOW + 2_000):
        tags[hour] += 3_600
        first, tags = retained(tags, first)
    assert len(tags) < 35


def kept_with_a_clock_ahead(share: float, days: int, hours_ahead: int) -> int:
    """Hours kept before the newest after so many days of a clock that is always wrong."""
    first = 0
    parts: dict[int, HourTags] = {0: {}, 1: {}}
    for hour in range(NOW, NOW + 24 * days):
        wrong = round(100_000 * share)
        came = {hour: 50_000 - wrong}, {hour: 50_000, hour + hours_ahead: wrong}
        for part, tags in enumerate(came):
            parts[part] = remembered(merged(parts[part], tags), first, tags)
        found = first_kept_hour(merged(*parts.values()), 10_000)
        if found > first:
            first, parts = found, faded(parts, found)
    return NOW + 24 * days - 1 - first


@pytest.mark.parametrize("share", [0.001, 0.01, 0.02, 0.05, 0.08])
@pytest.mark.parametrize("hours_ahead", [3, 30, 24 * 365, 10**6])
def test_a_clock_that_is_always_ahead_never_outweighs_the_others(
    share: float, hours_ahead: int
) -> None:
    """Although what it dates ahead stays stored, for ever if need be."""
    assert 24 <= kept_with_a_clock_ahead(share, 60, hours_ahead) <= 32


def test_a_clock_ahead_of_more_than_a_tenth_is_event_time() -> None:
    assert kept_with_a_clock_ahead(0.15, 60, 24 * 365) < 0


@pytest.mark.parametrize("share", [0.0002, 0.02, 0.05])
def test_a_log_whose_tags_are_late_at_first_moves_nothing_ahead(share: float) -> None:
    """As in a rebuild: a week of log, of which the live tables keep the last day."""
    bound = first = NOW - 27
    tags: HourTags = {}
    for hour in range(NOW - 168, NOW + 48):
        wrong = round(100_000 * share)
        came = {max(hour, first): 100_000 - wrong, hour + 8_760: wrong}
        tags = remembered(merged(tags, came), first, came)
        found = first_kept_hour(tags, 10_000)
        if found > first:
            first, tags = found, faded({0: tags}, found)[0]
        assert first <= max(bound, hour - 24)
    assert first >= NOW + 48 - 30


@unhurried
@given(st.dictionaries(st.integers(0, 2), HOURS, min_size=1), st.integers(0, 10**6))
def test_only_what_lies_ahead_fades(parts: dict[int, dict[int, int]], first: int) -> None:
    total = merged(*parts.values())
    newest = newest_hour(total, 1)
    after = faded(parts, first)

    assert after.keys() == parts.keys()
    for part, tags in parts.items():
        for hour, number in tags.items():
            left = after[part].get(hour, 0)
            if hour < first:
                assert left == 0
            elif newest is None or hour <= newest + KEPT_HOURS:
                assert left == number
            else:
                kept = sum(n for h, n in total.items() if h >= first)
                assert left == number * kept // sum(total.values())


def test_ten_tags_a_minute() -> None:
    tags, first = Counter[int](), 0
    for hour in range(NOW, NOW + 100):
        tags[hour] += 600
        first, tags = retained(tags, first)
    assert NOW + 99 - first <= 24 + 17


@pytest.mark.parametrize(("tags_an_hour", "most_hours"), [(60, 195), (120, 110), (200, 75)])
def test_a_slow_stream_is_kept_until_enough_is_newer(tags_an_hour: int, most_hours: int) -> None:
    """For 10,000 tags, which are most of what is kept, and a day."""
    tags, first = Counter[int](), 0
    for hour in range(NOW, NOW + 2_000):
        tags[hour] += tags_an_hour
        first, tags = retained(tags, first)
    assert NOW + 1_999 - first <= most_hours


@unhurried
@given(HOURS, st.integers(1, 10**5))
def test_busy_hours_are_few_and_weighty(tags: dict[int, int], min_tags: int) -> None:
    busy = busy_hours(tags, min_tags)
    assert len(busy) == len(set(busy)) <= 101
    assert sorted(busy, key=tags.__getitem__, reverse=True)[:1] == busy[:1]
    newest = newest_hour(tags, min_tags)
    for hour in tags:
        weighty = tags[hour] >= min_tags and tags[hour] * 100 >= sum(tags.values())
        assert (hour in busy) == (weighty or hour == newest)


def test_single_tags_of_any_date_make_no_hour_busy() -> None:
    wrong = dict.fromkeys(range(10**6, 10**6 + 500), 1)
    assert busy_hours(stream(2) | wrong, 1_000) == [NOW - 1, NOW]


def test_nothing_at_all() -> None:
    assert busy_hours({}, 1) == []
    assert newest_hour({}, 1) is None
    assert first_kept_hour({}, 1) == 0
    assert newest_hour({NOW: 999}, 1_000) is None
    assert newest_hour({NOW: 999, NOW + 10**5: 1}, 1_000) == NOW


@unhurried
@given(HOURS, st.integers(0, 10**6))
def test_stored_as_text(tags: dict[int, int], first: int) -> None:
    kept = remembered(tags, first)
    assert decode(encode(kept)) == kept
    assert kept == {hour: number for hour, number in tags.items() if hour >= first}
    assert decode(None) == decode("") == {}


def test_memory_is_bounded_and_the_fullest_hours_stay() -> None:
    many = {hour: 1 for hour in range(10_000)} | stream(24)
    kept = remembered(many, 0)
    assert len(kept) == REMEMBERED_HOURS
    assert {hour: kept[hour] for hour in stream(24)} == stream(24)
    text = encode(dict.fromkeys(range(7 * 10**7, 7 * 10**7 + REMEMBERED_HOURS), 10**9))
    # The column is a TEXT.
    assert len(text) < 65_535


@pytest.fixture
def few_hours(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many are remembered."""
    monkeypatch.setattr(retention, "REMEMBERED_HOURS", 60)
    return 60


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(st.integers(0, 10**4), st.integers(1, 10**5), min_size=50, max_size=150),
    st.integers(0, 5),
)
def test_what_is_not_remembered_counts_as_older(
    few_hours: int, tags: dict[int, int], number: int
) -> None:
    growing = set(sorted(tags)[len(tags) - number :])
    kept = remembered(tags, 0, growing)

    assert len(kept) == min(len(tags), few_hours)
    assert growing <= kept.keys() <= tags.keys()
    assert sum(kept.values()) == sum(tags.values())
    for hour in tags:
        came, there = (sum(d[h] for h in d if h >= hour) for d in (tags, kept))
        assert there <= came


def test_a_day_goes_at_last_although_the_hours_after_it_are_too_many(few_hours: int) -> None:
    """A busy day, and then a hundredth of that for months."""
    first = 0
    tags: HourTags = dict.fromkeys(range(NOW, NOW + 24), 36_000)
    for hour in range(NOW + 24, NOW + 24 + 100 * few_hours):
        # Of each hour, more than one flush.
        for _ in range(2):
            tags = remembered(merged(tags, {hour: 180}), first, {hour})
        found = first_kept_hour(tags, 1_000)
        if found > first:
            first, tags = found, faded({0: tags}, found)[0]
    assert first > NOW + 24


@unhurried
@given(HOURS, HOURS)
def test_sums(one: dict[int, int], other: dict[int, int]) -> None:
    both = merged(one, other)
    assert both.keys() == one.keys() | other.keys()
    assert all(both[hour] == one.get(hour, 0) + other.get(hour, 0) for hour in both)
