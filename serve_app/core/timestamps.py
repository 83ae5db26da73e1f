"""Times as the wire writes them and as we compute with them: UTC epoch milliseconds.

A tag's time reads ``YYYY-MM-DDTHH:MM:SS[.mmm]Z``; in a query the ``Z`` is left out
(docs/contract.md).
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SECONDS_SHAPE = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", re.ASCII)
_FRACTION_SHAPE = re.compile(r"\.(\d{3})", re.ASCII)


# Successive tags share their second, so almost every call is answered from the cache.
@lru_cache(maxsize=4096)
def epoch_seconds(text: str) -> int:
    """Seconds since 1970 of ``YYYY-MM-DDTHH:MM:SS``.

    Raises:
        ValueError: another shape, or no such day or time of day.
    """
    match = _SECONDS_SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form YYYY-MM-DDTHH:MM:SS")
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is no calendar time: {error}") from None
    return (moment - _EPOCH) // _SECOND


@lru_cache(maxsize=4096)
def format_seconds(seconds: int) -> str:
    """Inverse of `epoch_seconds`."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")


def parse_ms(text: str) -> int:
    """Epoch milliseconds of ``YYYY-MM-DDTHH:MM:SS[.mmm]``.

    Raises:
        ValueError: another shape, or no such day or time of day.
    """
    if len(text) == 19:
        return epoch_seconds(text) * 1000
    match = _FRACTION_SHAPE.fullmatch(text, 19)
    if match is None:
        raise ValueError(f"{text!r} is not of the form YYYY-MM-DDTHH:MM:SS or …SS.mmm")
    return epoch_seconds(text[:19]) * 1000 + int(match[1])


def parse_tag_time_ms(text: str) -> int:
    """Epoch milliseconds of ``YYYY-MM-DDTHH:MM:SS[.mmm]Z``.

    Raises:
        ValueError: another shape, or no such day or time of day.
    """
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} does not end in Z")
    return parse_ms(text[:-1])


def format_tag_time(time_ms: int, *, fraction: bool) -> str:
    """``YYYY-MM-DDTHH:MM:SS.mmmZ``, or without ``.mmm`` where ``fraction`` is false."""
    seconds, milliseconds = divmod(time_ms, 1000)
    if fraction:
        return f"{format_seconds(seconds)}.{milliseconds:03d}Z"
    return f"{format_seconds(seconds)}Z"
