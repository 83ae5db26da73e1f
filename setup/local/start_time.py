"""The event time at which a stream may start, given what is stored."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def start_time(watermarks: Sequence[str]) -> str | None:
    """Event time of the first tag: the whole minute after the newest watermark; None if none.

    The same stream sent twice into kept stores is wrong by construction, and a minute that holds
    older tags as well would be counted wrong: so never before, and never within, what is there.
    """
    if not watermarks:
        return None
    newest = max(_parse(watermark) for watermark in watermarks)
    minute = newest.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return minute.strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
