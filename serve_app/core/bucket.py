"""The one-minute bucket: epoch minutes, and how the wire writes one."""

from serve_app.core.timestamps import format_seconds

MINUTE_MS = 60_000


def minute_of(time_ms: int) -> int:
    """Epoch minutes of the bucket that holds the event time ``time_ms``."""
    return time_ms // MINUTE_MS


def format_bucket(minute: int) -> str:
    """``2022-03-01T00:05:00`` for the bucket that starts at epoch minute ``minute``."""
    return format_seconds(minute * 60)
