"""Every topic, table, key, header and deployment name, once.

A name that two parts must agree on is written here and nowhere else.
"""

from collections.abc import Iterable
from typing import Final

from serve_app.core.slots import hash_slot, tag_of_slot, tags_of_slots

# Kafka topics.
USER_TAGS_TOPIC: Final = "user_tags"
"""Every accepted tag, and every erasure; a tag's value is the request body, unpacked if it was
gzipped."""
DEAD_LETTERS_TOPIC: Final = "dead_letters"
"""Records of ``user_tags`` that no actor could read, with the reason in their headers."""

# Kafka record headers.
FORMAT_HEADER: Final = "format"
FORMAT_JSON_V1: Final = b"json/1"
"""A tag: the JSON body of ``POST /user_tags``, UTF-8 and never gzipped."""
FORMAT_ERASE_V1: Final = b"erase/1"
"""An erasure (``serve_app.core.erasure``)."""
REQUEST_ID_HEADER: Final = "request_id"
"""The ``X-Request-ID`` of the request that brought the tag."""
REASON_HEADER: Final = "reason"
PARTITION_HEADER: Final = "partition"
OFFSET_HEADER: Final = "offset"
TRUNCATED_HEADER: Final = "truncated"
"""Of a dead letter that is not whole: the bytes that its record's value has."""

# MySQL tables.
AGGREGATES_TABLE: Final = "aggregates"
"""One row per (minute, action, origin, brand, category, Kafka partition)."""
ROLLUPS_TABLE: Final = "rollups"
"""One row per (minute, action, dimension, value, Kafka partition)."""
OFFSETS_TABLE: Final = "partition_offsets"
"""One row per Kafka partition: the next offset whose tag is not in the tables above yet."""
DICTIONARY_TABLE: Final = "dictionary"
"""One row per (dimension, name): its number in the tables above."""
OTHER_NAMES_TABLE: Final = "other_names"
"""A row a dimension: until when tags were counted under id 0, that of all names past the cap."""

# Dimensions of the roll-up and dictionary tables; 0 is the total, which has no dictionary.
DIMENSION_TOTAL: Final = 0
DIMENSION_ORIGIN: Final = 1
DIMENSION_BRAND: Final = 2
DIMENSION_CATEGORY: Final = 3

# Serve.
CASE12_APP: Final = "case12"
CASE3_APP: Final = "case3"
CASE3_ROUTE: Final = "/case3"


def escape_cookie(cookie: str) -> str:
    """The cookie as a hash tag: without ``}``, so that all keys of a cookie are in one slot.

    Redis hashes what stands between the first ``{`` and the next ``}``, or the whole key if that
    is empty. A cookie that begins with ``}`` would have its keys in two slots.
    """
    if "}" in cookie or "%" in cookie:
        return cookie.replace("%", "%25").replace("}", "%7D")
    return cookie


def profile_key(cookie: str, action: str) -> str:
    """Redis key of a cookie's tags of one action; both actions of a cookie share a slot.

    ``profile_scripts`` builds the same keys.
    """
    return f"p:{{{escape_cookie(cookie)}}}:{action}"


def cookie_slot(cookie: str) -> int:
    """The slot of all keys of a cookie."""
    return hash_slot(escape_cookie(cookie).encode())


def erased_key(cookie: str) -> str:
    """Redis key, in the slot of the profile, of the mark of its erasure."""
    return profile_key(cookie, "erased")


def view_key(slot: int) -> str:
    """Redis key, in ``slot``, of the positions of the shard that has it (``core.position``)."""
    return f"view:{{{tag_of_slot(slot)}}}"


def view_keys(slots: Iterable[int]) -> list[str]:
    """`view_key` of many slots."""
    tags = tags_of_slots()
    return [f"view:{{{tags[slot]}}}" for slot in slots]
