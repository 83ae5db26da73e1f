"""An optional bearer token in front of an ASGI application (RFC 6750)."""

import hmac
from typing import Final

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.core.errors import Unauthorized
from serve_app.http.messages import refuse

_SWAGGER: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
OPEN_PATHS: Final = frozenset(
    {"/", "/docs", "/openapi.json", *(f"/docs/assets/{name}" for name in _SWAGGER)}
)
"""Pages about the API, not about users: a client may read how to send the token before it has one.
Serve's own ``/-/healthz`` and ``/-/routes`` never get here."""

_SCHEME: Final = b"bearer"


def require_token(application: ASGIApp, token: SecretStr) -> ASGIApp:
    """``application`` for requests with ``Authorization: Bearer <token>``, and 401 for others.

    With an empty token it is ``application`` itself: no check, and no cost.
    """
    secret = token.get_secret_value().encode()
    return _BearerToken(application, secret) if secret else application


class _BearerToken:
    """ASGI middleware."""

    def __init__(self, application: ASGIApp, token: bytes) -> None:
        self._application = application
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._allows(scope):
            await self._application(scope, receive, send)
            return
        problem = Unauthorized("send `Authorization: Bearer <token>`")
        await refuse(receive, send, problem)

    def _allows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        # In constant time, which does not tell how much of it was right.
        return scheme.lower() == _SCHEME and hmac.compare_digest(token.strip(), self._token)
