"""The erasure of a cookie, as a record of the log and as a mark in Redis.

It erases everything that was accepted for the cookie before the log's ends were sampled: tags of
partition p with an offset below ``before[p]``. What comes later is a new history. The offsets make
it exact in any order of events: a replay compares each tag's offset with them and skips the tag.

The record's value is ``{"cookie": …, "before": {"0": 120, …}, "keep_ms": …}``. The mark is the text
``0:120,1:80``, which the Lua scripts read.
"""

from collections.abc import Mapping

import msgspec

from serve_app.core.tag import Name


class Erasure(msgspec.Struct, frozen=True):
    """One erasure; ``before`` maps Kafka partitions to offsets."""

    cookie: Name
    before: Mapping[int, int]
    keep_ms: int = 0
    """How long the mark must stay: longer than the log keeps a tag. 0: for ever."""

    @property
    def mark(self) -> str:
        """As stored beside the profile."""
        return ",".join(f"{p}:{offset}" for p, offset in sorted(self.before.items()))


_decoder = msgspec.json.Decoder(Erasure, strict=True)


def encode_erasure(erasure: Erasure) -> bytes:
    """The value of its record."""
    return msgspec.json.encode(erasure)


def decode_erasure(value: bytes) -> Erasure:
    """Inverse of `encode_erasure`.

    Raises:
        ValueError: not such an object.
    """
    try:
        erasure = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not an erasure: {error}") from None
    if erasure.keep_ms < 0:
        raise ValueError("not an erasure: keep_ms must be 0 or more")
    if any(partition < 0 or offset < 0 for partition, offset in erasure.before.items()):
        raise ValueError("not an erasure: before must hold offsets by partition, 0 or more")
    return erasure
