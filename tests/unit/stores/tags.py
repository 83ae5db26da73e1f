"""Tags for tests of the stores."""

import itertools
import json
import uuid
from typing import Any

import msgspec

from serve_app.core.tag import UserTag, decode_timed_tag
from serve_app.stores.profiles import Placed
from tests.oracle import Tag
from tests.tags import new_tag

FIRST_MS = 1_646_092_800_000
"""2022-03-01T00:00:00."""
_offsets = itertools.count(1)


def new_cookie() -> str:
    """A cookie that no other test has."""
    return uuid.uuid4().hex


def time_text(time_ms: int) -> str:
    """As the wire writes it: whole seconds without a fraction."""
    seconds, milliseconds = divmod(time_ms - FIRST_MS, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    fraction = f".{milliseconds:03d}" if milliseconds else ""
    return f"2022-03-01T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def wire_tag(cookie: str, time_ms: int = FIRST_MS, **changes: Any) -> Tag:
    """A tag as it is sent; ``changes`` may name fields of ``product_info`` as well."""
    return new_tag(cookie, time_text(time_ms), **changes)


def typed(tag: Tag) -> UserTag:
    """The same as the product's type."""
    return msgspec.convert(tag, UserTag)


def placed(tag: Tag, offset: int | None = None, partition: int = 0) -> Placed:
    """The same at its place in the log, one that no other tag has."""
    typed_tag, time_ms = decode_timed_tag(encoded(tag))
    at = next(_offsets) if offset is None else offset
    return Placed(typed_tag, time_ms, partition, at, FIRST_MS)


def encoded(tag: Tag) -> bytes:
    """The same as a request body."""
    return json.dumps(tag).encode()
