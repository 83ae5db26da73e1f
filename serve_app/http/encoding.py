"""Compressed bodies (RFC 9110, 8.4): gzip, with a bound on what it inflates to."""

import zlib
from typing import Final

from starlette.types import Scope

from serve_app.core.errors import BodyTooLarge, UnknownEncoding, Unreadable

_GZIP: Final = frozenset({b"gzip", b"x-gzip"})
_NONE: Final = frozenset({b"", b"identity"})
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
"""zlib's code for gzip's header and checksum."""


def encoding_of(scope: Scope) -> bytes:
    """The body's ``Content-Encoding``, in lower case; empty if it is not encoded."""
    found = [
        value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding"
    ]
    return b", ".join(value for value in found if value not in _NONE)


def decoded(body: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """The body without its encoding. No more than ``limit_bytes`` + 1 are ever inflated.

    Raises:
        UnknownEncoding: not gzip alone.
        BodyTooLarge: more than ``limit_bytes`` when inflated.
        Unreadable: not gzip, cut off, or followed by something else.
    """
    if encoding not in _GZIP:
        shown = encoding[:100].decode("ascii", "replace")
        raise UnknownEncoding(f"Content-Encoding: only gzip is known here, not {shown}")
    parts: list[bytes] = []
    left = limit_bytes + 1
    # A file of several members is one, too (RFC 1952, 2.2).
    while body or not parts:
        inflater = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = inflater.decompress(body, left)
        except zlib.error as error:
            raise Unreadable(f"the body is not gzip: {error}") from None
        left -= len(part)
        if not left:
            raise BodyTooLarge(f"the body must not inflate to more than {limit_bytes} bytes")
        if not inflater.eof:
            raise Unreadable("the body is gzip that was cut off")
        parts.append(part)
        body = inflater.unused_data
    return b"".join(parts)
