"""Request headers that Ray Serve itself acts on, which here are no business of a client.

Serve 2.60 reads them in ``Replica._direct_ingress_asgi`` and ``HTTPProxy``: a time-out of the
client's choice makes a 408 of a tag that is stored; a value that is not UTF-8 makes a 500.
"""

from collections.abc import Iterable
from typing import Final

from serve_app.http.request_id import HEADER as REQUEST_ID
from serve_app.http.request_id import is_usable

Header = tuple[bytes, bytes]

_DROPPED: Final = frozenset(
    {
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"x-session-id",
        b"serve-multiplexed-model-id",
    }
)
"""With hyphens; Serve takes an underscore for a hyphen."""
_TRACING: Final = frozenset({b"traceparent", b"tracestate"})


def mended(headers: Iterable[Header]) -> list[Header]:
    """A new list without what Serve would act on or trip over; the rest in its order.

    Of several request ids, or one that cannot be used, none is left: Serve then makes one.
    """
    kept, ids = [], []
    for header in headers:
        name, value = header
        name = name.replace(b"_", b"-")
        if name in _DROPPED or (name in _TRACING and not value.isascii()):
            continue
        if name == REQUEST_ID:
            ids.append(value)
            continue
        kept.append(header)
    if len(ids) == 1 and is_usable(ids[0]):
        kept.append((REQUEST_ID, ids[0]))
    return kept
