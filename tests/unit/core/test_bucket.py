"""The one-minute bucket against the plain calendar."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.core.bucket import MINUTE_MS, format_bucket, minute_of
from tests.unit.core.strategies import LAST_MS


@given(st.integers(0, LAST_MS))
@example(59_999)
@example(60_000)
@example(LAST_MS)
def test_a_bucket_is_the_event_time_cut_to_its_minute(time_ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    assert format_bucket(minute_of(time_ms)) == moment.strftime("%Y-%m-%dT%H:%M:00")
    assert minute_of(time_ms) * MINUTE_MS <= time_ms < (minute_of(time_ms) + 1) * MINUTE_MS


@pytest.mark.parametrize(
    ("time_ms", "bucket"),
    [
        (1_646_093_100_000, "2022-03-01T00:05:00"),
        (1_646_093_159_999, "2022-03-01T00:05:00"),
        (1_646_093_160_000, "2022-03-01T00:06:00"),
        (1_646_092_799_999, "2022-02-28T23:59:00"),
        (0, "1970-01-01T00:00:00"),
    ],
)
def test_known_buckets(time_ms: int, bucket: str) -> None:
    assert format_bucket(minute_of(time_ms)) == bucket
