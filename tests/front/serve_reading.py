"""Reads a request's head as Serve's ``Replica._direct_ingress_asgi`` does."""

from collections.abc import Sequence
from typing import Any

from ray.serve._private import http_util
from ray.serve._private.constants import SERVE_HTTP_REQUEST_ID_HEADER, SERVE_MULTIPLEXED_MODEL_ID


def what_serve_reads(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Raises UnicodeDecodeError for non-UTF-8, where Serve would answer 500."""
    found = dict(headers)
    models = [
        value.decode()
        for key, value in found.items()
        if key.decode().lower().replace("-", "_") == SERVE_MULTIPLEXED_MODEL_ID
    ]
    for key, value in headers:
        if key in (b"traceparent", b"tracestate"):
            value.decode()
    return {
        "request_id": found.get(SERVE_HTTP_REQUEST_ID_HEADER.encode(), b"").decode("utf-8"),
        "timeout_s": http_util.parse_request_timeout_header(found, None),
        "unwatched": http_util.parse_disconnect_disabled_header(found),
        "session": http_util.parse_session_id_header(found),
        "models": models,
    }
