"""The id for tracing one request: the client's ``X-Request-ID``, or Serve's own.

Serve makes one when the client sends none, and gives either back with the answer. Here it is only
read, so that the tag's record in the log can carry it.
"""

from typing import Final

from starlette.types import Scope

from serve_app.http.messages import last_header

HEADER: Final = b"x-request-id"
MAX_BYTES: Final = 128


def is_usable(id_: bytes) -> bool:
    """Whether it can be kept and shown: 1 to `MAX_BYTES` characters of printable ASCII."""
    return 0 < len(id_) <= MAX_BYTES and id_.isascii() and id_.decode().isprintable()


def request_id(scope: Scope) -> bytes:
    """The request's id; empty if there is none, or one that is not usable."""
    id_ = last_header(scope, HEADER)
    return id_ if id_ is not None and is_usable(id_) else b""
