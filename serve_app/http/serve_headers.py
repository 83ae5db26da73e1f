"""Request headers that Ray Serve itself acts on, and that clients of ours may not set.

Serve 2.60 reads them in ``Replica._direct_ingress_asgi`` and ``HTTPProxy``: a time-out that
the client chose turns a stored tag into a 408; a value that is not UTF-8 becomes a 500.
"""

from collections.abc import Sequence
from itertools import product
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
_TRACING: Final = frozenset({b"traceparent", b"tracestate"})


def _spellings(name: bytes) -> list[bytes]:
    """Serve treats underscores as hyphens."""
    return [
        b"".join(word + joint for word, joint in zip(name.split(b"-"), (*joints, b""), strict=True))
        for joints in product((b"-", b"_"), repeat=name.count(b"-"))
    ]


_WATCHED: Final = {
    spelling: name for name in (*_DROPPED, *_TRACING, REQUEST_ID) for spelling in _spellings(name)
}
"""Every spelling → the name that it stands for."""


def sanitized(headers: Sequence[Header]) -> list[Header]:
    """A new list without headers that Serve would act on or fail on; the rest keep their order.

    Several request ids, or an unusable one, are all removed: Serve then makes one.
    """
    kept = [header for header in headers if header[0] not in _WATCHED]
    if len(kept) == len(headers):
        return kept
    ids = []
    for name, value in headers:
        known = _WATCHED.get(name)
        if known == REQUEST_ID:
            ids.append(value)
        elif known in _TRACING and value.isascii():
            kept.append((name, value))
    if len(ids) == 1 and is_usable(ids[0]):
        kept.append((REQUEST_ID, ids[0]))
    return kept
