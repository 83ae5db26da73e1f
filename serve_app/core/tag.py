"""The user tag: its fields, its rules, and how its JSON is read.

Rules beyond types: strings are 1 to 128 characters, the price an int32, the product id a 64-bit
integer or a string, the time a calendar time of 1970 to 9999. Unknown fields are ignored.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from serve_app.core.errors import RuleBroken, Unreadable
from serve_app.core.timestamps import parse_tag_time_ms

MAX_BODY_BYTES: Final = 64 * 1024
MAX_NAME_LENGTH: Final = 128
"""Characters, not bytes; a character takes at most 4 bytes in UTF-8."""
MAX_TIME_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last time that the format can write."""

ACTIONS: Final = ("VIEW", "BUY")
"""In the order of their numbers in the aggregate tables: 0 is VIEW, 1 is BUY."""
DEVICES: Final = ("PC", "MOBILE", "TV")

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
Price = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
ProductId = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Name
"""An integer on the wire, a string in the text of the contract: given back as it came."""


class ProductInfo(msgspec.Struct, frozen=True, gc=False):
    """What was looked at or bought."""

    product_id: ProductId
    brand_id: Name
    category_id: Name
    price: Price


class UserTag(msgspec.Struct, frozen=True, gc=False):
    """One VIEW or BUY event, exactly as it came; ``time`` stays a string."""

    time: str
    cookie: Name
    country: Name
    device: str
    action: str
    origin: Name
    product_info: ProductInfo

    @property
    def time_ms(self) -> int:
        """Event time, epoch milliseconds."""
        return parse_tag_time_ms(self.time)


_decoder = msgspec.json.Decoder(UserTag)


def decode_timed_tag(body: bytes) -> tuple[UserTag, int]:
    """Decode and validate a tag; returns it and its event time (epoch ms).

    Raises:
        Unreadable: not JSON, or not UTF-8.
        RuleBroken: a field is missing or breaks a rule; the error names both.
    """
    try:
        tag = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise rule_broken(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"the body is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise Unreadable("the body is nested too deeply") from None
    if tag.device not in DEVICES:
        raise RuleBroken(f"device: must be one of {', '.join(DEVICES)}", field="device")
    if tag.action not in ACTIONS:
        raise RuleBroken(f"action: must be one of {', '.join(ACTIONS)}", field="action")
    try:
        time_ms = tag.time_ms
    except ValueError as error:
        raise RuleBroken(
            f"time: {error}; expected YYYY-MM-DDTHH:MM:SS[.mmm]Z in UTC", field="time"
        ) from None
    if not 0 <= time_ms <= MAX_TIME_MS:
        raise RuleBroken("time: must lie in the years 1970 to 9999", field="time")
    return tag, time_ms


def rule_broken(error: msgspec.ValidationError) -> RuleBroken:
    """The problem for msgspec's message ``<rule> - at `$.<field>```, or with no field at all."""
    rule, _, place = str(error).partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    if "required field `" in rule:
        field = ".".join(filter(None, (field, rule.split("`")[1])))
    return RuleBroken(f"{field or 'body'}: {rule}", field=field or "body")
