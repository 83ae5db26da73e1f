"""The histogram, the horizon, the timeline, the schedule."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webpanel.eventtime import MINUTE_MS
from tests.webpanel.histogram import LatencyHistogram, bucket_of, bucket_top
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.schedule import Schedule
from tests.webpanel.settled import Horizon
from tests.webpanel.timeline import Timeline


@given(st.integers(0, 2**33))
def test_bucket_holds_its_value(us: int) -> None:
    """The top is the value or at most 1/32 above, and belongs to the same bucket."""
    bucket = bucket_of(us)
    assert us <= bucket_top(bucket) <= us * (1 + 1 / 32)
    assert bucket_of(bucket_top(bucket)) == bucket
    assert bucket_of(bucket_top(bucket) + 1) == bucket + 1


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=200), st.floats(0.1, 100))
def test_percentiles(values: list[int], percent: float) -> None:
    """As of the sorted list, within a bucket."""
    histogram = LatencyHistogram()
    for us in values:
        histogram.record(us / 1e6)
    exact = sorted(values)[ceil(len(values) * percent / 100) - 1] / 1e3
    found = histogram.percentile_ms(percent)
    # A microsecond may fall to the one below when it goes through a float of seconds.
    assert exact - 0.002 <= found <= exact * (1 + 1 / 32) + 0.002


@given(st.lists(st.floats(0, 5)), st.lists(st.floats(0, 5)))
def test_merge(first: list[float], second: list[float]) -> None:
    """Merging is recording both."""
    a, b, both = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
    for one in first:
        a.record(one)
        both.record(one)
    for one in second:
        b.record(one)
        both.record(one)
    a.merge(b)
    assert a.summary_ms() == both.summary_ms()


def test_empty_histogram() -> None:
    """All zeros."""
    assert set(LatencyHistogram().summary_ms().values()) == {0}


@given(st.lists(st.tuples(st.floats(0.001, 3), st.integers(0, 9)), max_size=40))
def test_horizon_is_never_early(steps: list[tuple[float, int]]) -> None:
    """It is the newest sample that is old enough."""
    horizon, now, settled = Horizon(2.0), 0.0, 0
    samples = []
    for wait, more in steps:
        now, settled = now + wait, settled + more
        samples.append((now, settled))
        horizon.sample(now, settled)
        assert horizon.index == max((n for t, n in samples if t <= now - 2.0), default=0)


def test_timeline_is_bounded() -> None:
    """Intervals double, sums stay."""
    timeline = Timeline(most=10)
    for _ in range(1000):
        timeline.add(3, 1, LatencyHistogram())
    rows = timeline.as_json()["rows"]
    assert isinstance(rows, list)
    assert len(rows) <= 11
    assert sum(row[0] for row in rows) == 3000
    assert sum(row[1] for row in rows) == 1000


def test_schedule_of_a_full_subscription() -> None:
    """The contract's figures for 24 hours."""
    schedule = Schedule(SubscriptionOptions(rate=1000, duration_s=86_400))
    assert schedule.total == 86_400_000
    assert schedule.profiles == 8_640_000
    assert schedule.aggregates == 86_400
    assert schedule.closed_minutes == 1440
    assert schedule.profile_position(0) / 1000 < 10.1
    # The first minute can be asked for a minute after its last tag.
    assert schedule.answerable(schedule.aggregate_horizon(120_000, 10**9), 120_000)[1] < (
        schedule.first_minute
    )
    first = schedule.answerable(schedule.aggregate_horizon(120_051, 10**9), 120_051)
    assert first == (schedule.first_minute, schedule.first_minute)


def test_schedule_stays_within_the_last_day() -> None:
    """A query covers nothing that may be gone by the time of its answer."""
    options = SubscriptionOptions(rate=1000, duration_s=200_000)
    schedule = Schedule(options)
    sent = 100_000_000
    oldest, newest = schedule.answerable(sent - 60_100, sent)
    assert oldest * MINUTE_MS >= options.event_ms(sent) + 60_000 - 86_400_000 - MINUTE_MS
    assert newest * MINUTE_MS < options.event_ms(sent) - 60_000


def test_last_minutes_are_asked_for() -> None:
    """Some of the queries due are saved for minutes that close last."""
    schedule = Schedule(SubscriptionOptions(rate=200, duration_s=240, step_ms=5))
    first = schedule.first_minute
    assert schedule.aggregates == 48
    assert schedule.closed_minutes == 4
    assert not schedule.aggregate_due(47, 48_000, first + 2)
    assert schedule.aggregate_due(46, 48_000, first + 2)
    assert schedule.aggregate_due(47, 48_000, first + 3)
    assert not schedule.aggregate_due(48, 48_000, first + 3)


@pytest.mark.parametrize(
    ("rate", "duration_s", "step_ms"),
    [(300, 400, 1_000), (200, 3_600, 150), (200, 240, 5), (1_000, 600, 1), (200, 600, 40)],
)
def test_aggregates_are_asked_for_throughout(rate: int, duration_s: int, step_ms: int) -> None:
    """Also where event time is far ahead of the clock: hours are dropped while we ask."""
    options = SubscriptionOptions(rate=rate, duration_s=duration_s, step_ms=step_ms)
    schedule = Schedule(options)
    times_s: list[float] = []
    first_s = end_s = 0.0
    for second in range(10 * (duration_s + 70)):
        position = second / 10 * rate
        sent = schedule.tags_due(position)
        oldest, newest = schedule.answerable(schedule.aggregate_horizon(position, sent), sent)
        if newest >= oldest:
            first_s = first_s or second / 10
            end_s = second / 10
            if schedule.aggregate_due(len(times_s), sent, newest):
                times_s.append(second / 10)
    assert len(times_s) == schedule.aggregates
    # One is due so often, or as often as a minute closes.
    every_s = max(options.tags_per_aggregate / rate, 60_000 / rate / step_ms)
    pauses_s = [later - time for time, later in pairwise([first_s, *times_s])]
    assert max(pauses_s) <= 2.2 * every_s + 0.2, max(pauses_s)
    assert times_s[-1] > min(end_s, duration_s + 60) - 2.2 * every_s - 0.2


def test_a_first_minute_that_is_not_whole_is_left_out() -> None:
    """It may hold tags of an earlier stream."""
    options = SubscriptionOptions(start_ms=MINUTE_MS * 100 + 1, rate=1000, duration_s=180)
    schedule = Schedule(options)
    assert schedule.first_minute == 101
    assert schedule.closed_minutes == 2
