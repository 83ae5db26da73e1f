"""HAProxy's own answers, as files that it sends as they are: problem documents (RFC 9457).

All but what its parser says of bytes that are no head of a request, or none in time: 400 or 408
with a line of HTML, which no setting of 2.8 replaces (``h1_send_error`` in its ``mux_h1.c``).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TOO_SLOW: Final = "the request was not whole within its time; nothing was stored"
_UNKNOWN: Final = "the replica was asked and did not say whether it stored it"
_UNREADABLE: Final = "this is no HTTP/1.1 request for a path of this server; nothing was stored"

_ANSWERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "400": ("400 Bad Request", _UNREADABLE, ()),
    "403": ("403 Forbidden", "this request is not let in; nothing was stored", ()),
    "405": ("405 Method Not Allowed", "this method is not allowed here", ("Allow: GET, POST",)),
    "408": ("408 Request Timeout", _TOO_SLOW, ()),
    "413": ("413 Content Too Large", "the request is too long; nothing was stored", ()),
    "503": (
        "503 Service Unavailable",
        "no replica has room or is there; nothing was stored",
        ("Retry-After: 1",),
    ),
    "504": ("504 Gateway Timeout", _UNKNOWN, ()),
}
"""By file name: status line, detail, further header lines."""


def file_of(folder: Path, status: str) -> Path:
    """Where the answer of this status lies."""
    return folder / f"{status}.http"


def write_answers(folder: Path) -> None:
    """Write all of them; each over what was there."""
    for status, (line, detail, headers) in _ANSWERS.items():
        file_of(folder, status).write_bytes(_response(line, detail, headers))


def _response(line: str, detail: str, headers: tuple[str, ...]) -> bytes:
    status, _, title = line.partition(" ")
    document = {"type": "about:blank", "title": title, "status": int(status), "detail": detail}
    body = json.dumps(document)
    head = (
        f"HTTP/1.1 {line}",
        "Content-Type: application/problem+json",
        *headers,
        f"Content-Length: {len(body)}",
    )
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()
