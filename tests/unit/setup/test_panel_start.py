"""Where a subscription starts in event time."""

import pytest

from setup.local.start_time import start_time


@pytest.mark.parametrize(
    ("watermarks", "start"),
    [
        ([], None),
        (["2022-03-01T00:03:59.999Z", "2022-03-01T00:01:00.000Z"], "2022-03-01T00:04:00Z"),
        # A tag at the very start of a minute belongs to it.
        (["2022-03-01T00:04:00.000Z"], "2022-03-01T00:05:00Z"),
        (["2022-03-01T23:59:30"], "2022-03-02T00:00:00Z"),
    ],
)
def test_start_is_the_next_whole_minute(watermarks: list[str], start: str | None) -> None:
    assert start_time(watermarks) == start
