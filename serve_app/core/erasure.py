"""The erasure of a cookie, as a record of the log and as a mark in Redis.

It erases everything that was accepted for the cookie before the log's ends were sampled: tags of
partition p with an offset below ``before[p]``. What comes later is a new history. The offsets make
it exact in any order of events: a replay compares each tag's offset with them and skips the tag.

The record's value is ``{"cookie": …, "before": {"0": 120, …}, "keep_ms": …}``; the offsets are of
the topic that it stands in. The mark may outlive that topic, so it names it: ``0:120,1:80,@`` and
the topic's id, which the Lua scripts read. Older versions write ``0:120,1:80``, and pass over the
topic when they read a mark that has one.
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

    def mark(self, topic_id: str) -> "Mark":
        """What stays of it beside the profile; ``topic_id``: of the topic that has the record."""
        return Mark(topic_id, self.before)


class Mark(msgspec.Struct, frozen=True):
    """What was erased of a cookie: the tags of a topic below some offsets."""

    topic_id: str
    """32 hexadecimal digits. Empty: an older version wrote it, of whatever topic there was."""
    before: Mapping[int, int]
    """Kafka partition → offset."""

    def encode(self) -> str:
        """As stored beside the profile."""
        pairs = [f"{p}:{offset}" for p, offset in sorted(self.before.items())]
        return ",".join([*pairs, f"@{self.topic_id}"] if self.topic_id else pairs)

    def covers(self, other: "Mark") -> bool:
        """Whether everything of the ``other`` is certainly erased where this one stands."""
        return self.topic_id == other.topic_id and all(
            self.before.get(partition, -1) >= offset for partition, offset in other.before.items()
        )


def decode_mark(text: bytes) -> Mark:
    """Inverse of `Mark.encode`; parts of another shape are left out, as the scripts do."""
    topic_id, before = "", {}
    for part in text.decode(errors="replace").split(","):
        partition, colon, offset = part.partition(":")
        if colon and partition.isdecimal() and offset.isdecimal():
            before[int(partition)] = int(offset)
        elif part.startswith("@"):
            topic_id = part[1:]
    return Mark(topic_id, before)


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
