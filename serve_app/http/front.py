"""In front of everything that Serve does for a request: refuse what is too much, cheaply.

Serve calls `middlewares` in each process that serves HTTP, through the variable
``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``, and puts what it returns outermost. So a refusal
costs the parsing of the request and nothing more.
"""

from typing import Final

from starlette.middleware import Middleware

from serve_app.admission import Admission, admission
from serve_app.core.errors import Unavailable
from serve_app.http.messages import Application, Receive, Scope, Send, refuse

OVERLOADED: Final = "too many requests"

_HOT: Final = ("/user_tags", "/user_profiles/")
"""Short requests, many of them. Aggregate queries are few, and may wait on purpose."""
_NOT_WATCHED: Final = (b"x-request-disconnect-disabled", b"?1")
"""Serve's own header: do not look whether the client is still there. A tag is written anyway
(DESIGN 3), and the look costs two tasks and a queue a request."""


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
        scope["headers"] = [*scope["headers"], _NOT_WATCHED]
        self._admission.under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._admission.under_way -= 1


def middlewares() -> list[Middleware]:
    """What Serve asks for."""
    return [Middleware(Front)]
