"""Decodes records of the log: a tag, an erasure, or unreadable."""

import msgspec

from actors.log.ports import Record
from serve_app.core.erasure import Erasure, decode_erasure
from serve_app.core.errors import Problem
from serve_app.core.names import FORMAT_ERASE_V1, FORMAT_HEADER, FORMAT_JSON_V1
from serve_app.core.tag import UserTag, decode_timed_tag

MAX_REASON = 500
"""Characters; a reason is for a person and quotes input."""


class UnreadableRecord(Exception):
    """This record is for the dead-letter topic; the message is the reason."""


Entry = tuple[UserTag, int] | Erasure
"""A tag with its event time (epoch ms), or an erasure."""


def read_entry(record: Record) -> Entry:
    """What a record of ``user_tags`` says.

    A record without a ``format`` header is read as ``json/1``: other producers of plain JSON tags
    need not know our header, and a body that is no tag fails anyway.

    Raises:
        UnreadableRecord: no value, an unknown format, or a body that breaks a rule.
    """
    form = FORMAT_JSON_V1
    for name, value in record.headers:
        if name == FORMAT_HEADER:
            form = value or b""
    if form not in (FORMAT_JSON_V1, FORMAT_ERASE_V1):
        raise UnreadableRecord(f"unknown format {form[:64]!r}")
    if record.value is None:
        raise UnreadableRecord("the record has no value")
    try:
        if form == FORMAT_ERASE_V1:
            return decode_erasure(record.value)
        return decode_timed_tag(record.value)
    except Problem as problem:
        raise UnreadableRecord(problem.detail[:MAX_REASON]) from None
    except ValueError as error:
        raise UnreadableRecord(str(error)[:MAX_REASON]) from None


class _Cookie(msgspec.Struct):
    cookie: str


_cookie_decoder = msgspec.json.Decoder(_Cookie)


def cookie_of(record: Record) -> str | None:
    """The cookie of a record, at a quarter of the cost of decoding all of it.

    None where that is not simple: an erasure, or a record that may be unreadable. A record with a
    cookie may be unreadable all the same.
    """
    for name, value in record.headers:
        if name == FORMAT_HEADER and value != FORMAT_JSON_V1:
            return None
    try:
        return _cookie_decoder.decode(record.value or b"").cookie
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def tag_of(record: Record) -> UserTag | None:
    """The tag in a record, or None for an erasure and for what no actor can read either."""
    try:
        entry = read_entry(record)
    except UnreadableRecord:
        return None
    return None if isinstance(entry, Erasure) else entry[0]
