"""User tags for tests: dicts as on the wire, and the product's types."""

import itertools
import json
import uuid
from typing import Any, Final

import msgspec

from serve_app.core.tag import UserTag, decode_timed_tag
from serve_app.stores.profiles import Placed
from tests.oracle import Tag

MISSING: Final = object()
"""Instead of a value: leave the field out."""
FIRST_MS: Final = 1_646_092_800_000
"""2022-03-01T00:00:00."""
_offsets = itertools.count(1)


def new_tag(cookie: str, time: str, /, **changes: Any) -> Tag:
    """``changes`` may name any field, those of ``product_info`` as well."""
    product = {"product_id": 12486, "brand_id": "Ebros_Gift", "category_id": "Shoes", "price": 289}
    tag = {
        "time": time,
        "cookie": cookie,
        "country": "CL",
        "device": "MOBILE",
        "action": "VIEW",
        "origin": "CAMPAIGN_321",
    }
    product |= {name: value for name, value in changes.items() if name in product}
    tag |= {name: value for name, value in changes.items() if name not in product}
    return {**tag, "product_info": product}


def changed(tag: Tag, path: str, value: object) -> bytes:
    """The body of ``tag`` with one value replaced, or left out for `MISSING`."""
    copy: dict[str, Any] = json.loads(json.dumps(tag))
    *parents, name = path.split(".")
    place = copy
    for parent in parents:
        place = place[parent]
    if value is MISSING:
        del place[name]
    else:
        place[name] = value
    return json.dumps(copy).encode()


def new_cookie() -> str:
    """A unique cookie."""
    return uuid.uuid4().hex


def time_text(time_ms: int) -> str:
    """Time in the wire format: whole seconds without a fraction."""
    seconds, milliseconds = divmod(time_ms - FIRST_MS, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    fraction = f".{milliseconds:03d}" if milliseconds else ""
    return f"2022-03-01T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def wire_tag(cookie: str, time_ms: int = FIRST_MS, **changes: Any) -> Tag:
    """A tag as it is sent; ``changes`` may name fields of ``product_info`` as well."""
    return new_tag(cookie, time_text(time_ms), **changes)


def typed(tag: Tag) -> UserTag:
    """Convert to the product's type."""
    return msgspec.convert(tag, UserTag)


def placed(tag: Tag, offset: int | None = None, partition: int = 0) -> Placed:
    """The tag with a unique place in the log."""
    typed_tag, time_ms = decode_timed_tag(encoded(tag))
    at = next(_offsets) if offset is None else offset
    return Placed(typed_tag, time_ms, partition, at, FIRST_MS)


def encoded(tag: Tag) -> bytes:
    """The tag as a request body."""
    return json.dumps(tag).encode()


def decode_tag(body: bytes) -> UserTag:
    """The tag of a request body; raises what `decode_timed_tag` raises."""
    return decode_timed_tag(body)[0]
