"""Times: both shapes, both directions, and everything that is neither."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.core.timestamps import (
    epoch_seconds,
    format_seconds,
    format_tag_time,
    parse_ms,
    parse_tag_time_ms,
)
from tests.unit.core.strategies import LAST_MS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
any_moment = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59))

ARABIC_INDIC = "2022-03-01T00:00:00".translate({48 + n: 0x660 + n for n in range(10)})
"""Digits that int() and a pattern without re.ASCII take."""
OTHER_SHAPES = [
    "",
    "2022-03-01",
    "2022-03-01T00:00",
    "2022-03-01 00:00:00",
    "2022-03-01t00:00:00",
    "2022-3-1T00:00:00",
    "22-03-01T00:00:00",
    "+022-03-01T00:00:00",
    "-022-03-01T00:00:00",
    " 2022-03-01T00:00:00",
    "2022-03-01T00:00:00 ",
    "2022-03-01T00:00:00\n",
    "2022-03-01T00:00:00.",
    "2022-03-01T00:00:00.1",
    "2022-03-01T00:00:00.12",
    "2022-03-01T00:00:00.1234",
    "2022-03-01T00:00:00.123\n",
    "2022-03-01T00:00:00,123",
    "2022-03-01T00:00:00.+12",
    "2022-03-01T00:00:00.1 2",
    "2022-03-01T00:00:00+00:00",
    "2022-03-01T00:00:00.000+00:00",
    "20220301T000000",
    ARABIC_INDIC,
    "\uff12022-03-01T00:00:00",  # a full-width digit
    "2022-03-01T00:00:00.\uff1123",
    "2022-03-01T00:00:0²",
]
NO_SUCH_TIMES = [
    "0000-01-01T00:00:00",
    "2022-00-01T00:00:00",
    "2022-13-01T00:00:00",
    "2022-03-00T00:00:00",
    "2022-04-31T00:00:00",
    "2022-02-29T00:00:00",
    "1900-02-29T00:00:00",
    "2022-03-01T24:00:00",
    "2022-03-01T00:60:00",
    "2022-03-01T00:00:60",
    "2016-12-31T23:59:60",
]


@given(moment=any_moment, fraction=st.none() | st.integers(0, 999))
@example(moment=datetime(1, 1, 1), fraction=None)
@example(moment=datetime(999, 1, 1), fraction=7)
def test_parse_ms_agrees_with_the_calendar(moment: datetime, fraction: int | None) -> None:
    text = f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}"
    expected = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1) * 1000
    if fraction is not None:
        text += f".{fraction:03d}"
        expected += fraction
    else:
        assert epoch_seconds(text) * 1000 == expected
        assert format_seconds(expected // 1000) == text
    assert parse_ms(text) == expected
    assert parse_tag_time_ms(f"{text}Z") == expected


@given(st.integers(0, LAST_MS))
@example(0)
@example(LAST_MS)
@example(951_782_400_000)  # 2000-02-29
def test_formatting_and_parsing_are_inverse(time_ms: int) -> None:
    with_fraction = format_tag_time(time_ms, fraction=True)
    assert len(with_fraction) == 24
    assert parse_tag_time_ms(with_fraction) == time_ms
    without = format_tag_time(time_ms, fraction=False)
    assert len(without) == 20
    assert parse_tag_time_ms(without) == time_ms // 1000 * 1000


def test_whole_seconds_are_written_both_ways() -> None:
    assert format_tag_time(1_646_092_801_000, fraction=False) == "2022-03-01T00:00:01Z"
    assert format_tag_time(1_646_092_801_000, fraction=True) == "2022-03-01T00:00:01.000Z"
    assert format_tag_time(1_646_092_801_007, fraction=True) == "2022-03-01T00:00:01.007Z"


@pytest.mark.parametrize("text", OTHER_SHAPES)
def test_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form|is no calendar time"):
        parse_ms(text)
    with pytest.raises(ValueError, match=r"is not of the form|does not end in Z"):
        parse_tag_time_ms(f"{text}Z")


@pytest.mark.parametrize("text", NO_SUCH_TIMES)
def test_times_that_the_calendar_does_not_have_are_refused(text: str) -> None:
    for shape in (text, f"{text}.000"):
        with pytest.raises(ValueError, match="is no calendar time"):
            parse_ms(shape)
        with pytest.raises(ValueError, match="is no calendar time"):
            parse_tag_time_ms(f"{shape}Z")


@pytest.mark.parametrize("text", ["2022-03-01T00:00:00Z", "2022-03-01T00:00:00.123Z"])
def test_z_belongs_to_tags_and_not_to_queries(text: str) -> None:
    assert parse_tag_time_ms(text) == parse_ms(text[:-1])
    with pytest.raises(ValueError, match="is not of the form"):
        parse_ms(text)
    for wrong in (text[:-1], text[:-1] + "z", text + "Z", text + " "):
        with pytest.raises(ValueError, match=r"does not end in Z|is not of the form"):
            parse_tag_time_ms(wrong)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused_by_name(text: str) -> None:
    try:
        value = parse_ms(text)
    except ValueError:
        return
    assert format_tag_time(value, fraction=len(text) > 19)[:-1] == text
