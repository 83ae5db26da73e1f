"""Event time as epoch milliseconds, and its three text forms in the wire contract."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

MINUTE_MS = 60_000
DAY_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = tuple(f"{second:02d}" for second in range(60))
# A whole second is sent without a fraction: `...:01Z`, not `...:01.000Z`.
_FRACTION = ("", *(f".{ms:03d}" for ms in range(1, 1000)))


@lru_cache(maxsize=8192)
def _minute_prefix(minute: int) -> str:
    """`2022-03-01T00:05:` for a minute counted since the epoch."""
    return (_EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")


def tag_time(ms: int) -> str:
    """The `time` of a user tag: UTC with `Z`, no fraction on a whole second."""
    return f"{range_time(ms, keep_zeros=False)}Z"


def range_time(ms: int, *, keep_zeros: bool) -> str:
    """One end of a profile's `time_range`: UTC, no `Z`; `.000` is optional."""
    minute, rest = divmod(ms, MINUTE_MS)
    second, fraction = divmod(rest, 1000)
    tail = ".000" if keep_zeros and not fraction else _FRACTION[fraction]
    return f"{_minute_prefix(minute)}{_SECOND[second]}{tail}"


def minute_time(minute: int) -> str:
    """A bucket and either end of an aggregate's `time_range`: `2022-03-01T00:05:00`."""
    return f"{_minute_prefix(minute)}00"


def parse_event_time(text: str) -> int:
    """Epoch milliseconds of an ISO time; a time without a zone is UTC.

    Raises:
        ValueError: the text is no ISO time.
    """
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return (parsed - _EPOCH) // timedelta(milliseconds=1)
