"""A record of the topic as a tag, or the reason why it is none."""

from actors.log.ports import Record
from serve_app.core.errors import Problem
from serve_app.core.names import FORMAT_HEADER, FORMAT_JSON_V1
from serve_app.core.tag import UserTag, decode_timed_tag

MAX_REASON = 500
"""Characters; a reason is for a person and quotes input."""


class UnreadableRecord(Exception):
    """This record is for the dead-letter topic; the message is the reason."""


def read_tag(record: Record) -> UserTag:
    """The tag in a record; raises what `read_timed_tag` raises."""
    return read_timed_tag(record)[0]


def tag_of(record: Record) -> UserTag | None:
    """The tag in a record, or None for one that no actor can read either."""
    try:
        return read_tag(record)
    except UnreadableRecord:
        return None


def read_timed_tag(record: Record) -> tuple[UserTag, int]:
    """The tag in a record of ``user_tags`` or ``profile_repairs``, and its event time (epoch ms).

    A record without a ``format`` header is taken for ``json/1``: tools and other producers that
    write plain JSON tags need not know of our header, and a body that is none fails anyway.

    Raises:
        UnreadableRecord: no value, an unknown format, or a body that breaks a rule.
    """
    for name, value in record.headers:
        if name == FORMAT_HEADER and value != FORMAT_JSON_V1:
            raise UnreadableRecord(f"unknown format {value[:64]!r}")
    if record.value is None:
        raise UnreadableRecord("the record has no value")
    try:
        return decode_timed_tag(record.value)
    except Problem as problem:
        raise UnreadableRecord(problem.detail[:MAX_REASON]) from None
