"""The id by which one request can be followed: the client's ``X-Request-ID``, or Serve's own.

Serve makes one when the client sends none, and gives either back with the answer. Here it is only
read, so that the tag's record in the log can carry it.
"""

from typing import Final

from serve_app.http.messages import Scope, last_header

HEADER: Final = b"x-request-id"
MAX_BYTES: Final = 128


def request_id(scope: Scope) -> bytes:
    """The request's id; empty if there is none, or one that is too long or not printable ASCII."""
    id_ = last_header(scope, HEADER)
    if id_ is None or len(id_) > MAX_BYTES:
        return b""
    return id_ if id_.isascii() and id_.decode().isprintable() else b""
