"""Runs before Serve handles a request: sanitizes its head, and refuses it under overload.

Serve calls `middlewares` in each process that serves HTTP, through the variable
``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``, and puts the result outermost. So a refusal costs no
more than parsing the request, and Serve never sees a header that would break it.
"""

import time
from typing import Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.admission import Admission, admission
from serve_app.core.errors import Unavailable, Unreadable
from serve_app.http.messages import last_header, refuse, refuse_websocket
from serve_app.http.serve_headers import sanitized

OVERLOADED: Final = "too many requests"

_HOT: Final = ("/user_tags", "/user_profiles/")
"""Short requests, many of them. Aggregate queries are few, and may wait on purpose."""
_REQUEST_START: Final = b"x-request-start"
_NOT_WATCHED: Final = (b"x-request-disconnect-disabled", b"?1")
"""Serve's own header: do not watch for a disconnect of the client. A tag is written anyway
(docs/architecture.md, C3), and watching costs two tasks and a queue per request."""


class Front:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, admission: Admission = admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit one request, or refuse it."""
        if scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send, Unreadable("there is no WebSocket here"))
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if not path.startswith("/"):
            # `OPTIONS *`, `CONNECT host:port`: Serve answers these in plain text.
            await refuse(receive, send, Unreadable("the target of the request is not a path"))
            return
        headers = sanitized(scope["headers"])
        scope["headers"] = headers
        if not path.startswith(_HOT):
            await self._app(scope, receive, send)
            return
        if not self._admission.admits():
            await refuse(receive, send, Unavailable(OVERLOADED))
            return
        headers.append(_NOT_WATCHED)
        request = _UnderWay(receive, self._admission)
        try:
            await self._app(scope, request.receive, send)
        finally:
            if request.whole:
                self._admission.under_way -= 1
                started_s = _started_s(scope)
                if started_s is not None:
                    self._admission.answered(time.time() - started_s)


class _UnderWay:
    """Counts a request as in flight once its body is complete: until then its client is at work."""

    __slots__ = ("_admission", "_receive", "whole")

    def __init__(self, receive: Receive, admission: Admission) -> None:
        self._receive = receive
        self._admission = admission
        self.whole = False

    async def receive(self) -> Message:
        """The next message (ASGI)."""
        message = await self._receive()
        last = message["type"] == "http.request" and not message.get("more_body", False)
        if last and not self.whole:
            self.whole = True
            self._admission.under_way += 1
        return message


def _started_s(scope: Scope) -> float | None:
    """When the ingress handed the request on, Unix time; None if it did not say.

    Source of the form ``t=<microseconds>``: New Relic's "Request queue server configuration".
    HAProxy replaces what a client sends (``setup/ingress``). Where it does not, a client that lies
    can switch the rule off, and no more than that.
    """
    value = last_header(scope, _REQUEST_START)
    if value is None:
        return None
    try:
        return int(value.removeprefix(b"t=")) / 1e6
    except (ValueError, OverflowError):
        return None


def middlewares() -> list[Middleware]:
    """The middlewares, outermost first; Serve calls this."""
    return [Middleware(Front)]
