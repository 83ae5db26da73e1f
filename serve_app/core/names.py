"""Every topic, table, key, header and deployment name, once.

A name that two parts must agree on is written here and nowhere else.
"""

from typing import Final

# Kafka topics.
USER_TAGS_TOPIC: Final = "user_tags"
"""Every accepted tag; the value is the request body as received."""
PROFILE_REPAIRS_TOPIC: Final = "profile_repairs"
"""Tags that Kafka has and Redis is still owed; same format as ``user_tags``."""
DEAD_LETTERS_TOPIC: Final = "dead_letters"
"""Records of ``user_tags`` that no actor could read, with the reason in their headers."""

# Kafka record headers.
FORMAT_HEADER: Final = "format"
FORMAT_JSON_V1: Final = b"json/1"
"""The only format so far: the JSON body of ``POST /user_tags``, UTF-8."""
REQUEST_ID_HEADER: Final = "request_id"
"""The ``X-Request-ID`` of the request that brought the tag."""
REASON_HEADER: Final = "reason"
PARTITION_HEADER: Final = "partition"
OFFSET_HEADER: Final = "offset"

# Kafka consumer group whose committed offsets say how far profiles are repaired.
REPAIR_GROUP: Final = "profile-repair"

# MySQL tables.
AGGREGATES_TABLE: Final = "aggregates"
"""A row a (minute, action, origin, brand, category, Kafka partition)."""
ROLLUPS_TABLE: Final = "rollups"
"""A row a (minute, action, dimension, value, Kafka partition)."""
OFFSETS_TABLE: Final = "partition_offsets"
"""A row a Kafka partition: the next offset whose tag is not in the tables above yet."""
DICTIONARY_TABLE: Final = "dictionary"
"""A row a (dimension, name): its number in the tables above."""
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


def profile_key(cookie: str, action: str) -> str:
    """Redis key of a cookie's tags of one action; both actions of a cookie share a slot.

    The cookie is the hash tag: Redis hashes what stands between the first ``{`` and the next
    ``}``, or the whole key if that is empty. So a ``}`` in a cookie is escaped (and the escape
    character with it), or a cookie that starts with one would have its keys in two slots.
    """
    if "}" in cookie or "%" in cookie:
        cookie = cookie.replace("%", "%25").replace("}", "%7D")
    return f"p:{{{cookie}}}:{action}"


def erased_key(cookie: str) -> str:
    """Redis key, in the slot of the profile, of when it was erased (``actors.profiles``)."""
    return profile_key(cookie, "erased")
