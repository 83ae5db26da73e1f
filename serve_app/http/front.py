"""In front of everything that Serve does for a request: refuse what is too much, cheaply.

Serve calls `middlewares` in each process that serves HTTP, through the variable
``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``, and puts what it returns outermost. So a refusal
costs the parsing of the request and nothing more.
"""

import time
from typing import Final

from starlette.middleware import Middleware

from serve_app.admission import Admission, admission
from serve_app.core.errors import Unavailable
from serve_app.http.messages import Application, Receive, Scope, Send, last_header, refuse

OVERLOADED: Final = "too many requests"

_HOT: Final = ("/user_tags", "/user_profiles/")
"""Short requests, many of them. Aggregate queries are few, and may wait on purpose."""
_REQUEST_START: Final = b"x-request-start"
_NOT_WATCHED: Final = (b"x-request-disconnect-disabled", b"?1")
"""Serve's own header: do not look whether the client is still there. A tag is written anyway
(docs/architecture.md, C3), and the look costs two tasks and a queue a request."""


class Front:
    """ASGI middleware."""

    def __init__(self, app: Application, admission: Admission = admission) -> None:
        """``app`` gets what is admitted."""
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http" or not scope["path"].startswith(_HOT):
            await self._app(scope, receive, send)
            return
        if not self._admission.admits():
            await refuse(receive, send, Unavailable(OVERLOADED))
            return
        started_s = _started_s(scope)
        scope["headers"] = [*scope["headers"], _NOT_WATCHED]
        self._admission.under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._admission.under_way -= 1
            if started_s is not None:
                self._admission.answered(time.time() - started_s)


def _started_s(scope: Scope) -> float | None:
    """When the ingress handed the request on, Unix time; None if it did not say.

    Source of the form ``t=<microseconds>``: New Relic's "Request queue server configuration".
    HAProxy replaces what a client sends (``setup/local/haproxy_on_loopback``). Where it does not, a
    client that lies can switch the rule off, and no more than that.
    """
    value = last_header(scope, _REQUEST_START)
    if value is None:
        return None
    try:
        return int(value.removeprefix(b"t=")) / 1e6
    except ValueError:
        return None


def middlewares() -> list[Middleware]:
    """What Serve asks for."""
    return [Middleware(Front)]
