"""ASGI messages: reading a body to its end, and writing a response in two sends.

Source: the ASGI specification, HTTP connection scope (https://asgi.readthedocs.io).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from serve_app.core.errors import (
    BodyTooLarge,
    BodyTooSlow,
    MethodNotAllowed,
    Problem,
    Unauthorized,
    UnknownEncoding,
)

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"

BODY_S: Final = 8.0
"""For a complete body, from its first part on. HAProxy forwards no request before its body is there
or fills a buffer, so the first part is never late, and only a long body can be slow."""


class ClientGone(Exception):
    """The client disconnected before its request was complete; nobody waits for an answer."""


def last_header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the last header of that name (lower case); None if there is none.

    The last, because there Serve and HAProxy put their own.
    """
    for one, value in reversed(scope["headers"]):
        if one == name:
            found: bytes = value
            return found
    return None


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. A body over the limit is still read to its end, and thrown away.

    Raises:
        BodyTooLarge: more than ``limit_bytes``.
        BodyTooSlow: not whole `BODY_S` after its first part.
        ClientGone: the connection was lost first.
    """
    message = await _part(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= limit_bytes:
        return body
    parts, size = [body], len(body)
    async with _in_time():
        while message.get("more_body", False):
            message = await _part(receive)
            size += len(message.get("body", b""))
            if size <= limit_bytes:
                parts.append(message.get("body", b""))
            else:
                parts.clear()
    if size > limit_bytes:
        raise BodyTooLarge(f"the body must not be longer than {limit_bytes} bytes")
    return b"".join(parts)


async def skip_body(receive: Receive) -> None:
    """Read a body of any length to its end: a half-read one resets the connection.

    Raises:
        BodyTooSlow: not whole `BODY_S` after its first part.
        ClientGone: the connection was lost first.
    """
    if not (await _part(receive)).get("more_body", False):
        return
    async with _in_time():
        while (await _part(receive)).get("more_body", False):
            pass


async def _part(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(BODY_S):
            yield
    except TimeoutError:
        raise BodyTooSlow(
            f"the body was not whole after {BODY_S:g} s; nothing was stored"
        ) from None


async def send_no_content(send: Send) -> None:
    """204."""
    # A new list each time: Serve's middleware adds its request id to the headers in place.
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def send_json(send: Send, body: bytes) -> None:
    """200 with a JSON body."""
    await _send(send, 200, body, [(b"content-type", JSON)])


async def send_problem(send: Send, problem: Problem) -> None:
    """The problem's status and its document (RFC 9457)."""
    headers = [(b"content-type", PROBLEM_JSON)]
    if problem.retry_after_s:
        headers.append((b"retry-after", str(problem.retry_after_s).encode()))
    if isinstance(problem, MethodNotAllowed):
        headers.append((b"allow", problem.allow.encode()))
    if isinstance(problem, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(problem, UnknownEncoding):
        headers.append((b"accept-encoding", b"gzip"))
    if isinstance(problem, BodyTooSlow):
        # The rest of the body must not be read as the next request.
        headers.append((b"connection", b"close"))
    await _send(send, problem.status, problem.document(), headers)


async def refuse(receive: Receive, send: Send, problem: Problem) -> None:
    """Answer ``problem`` to a request that is not processed, once it is read to its end."""
    try:
        await skip_body(receive)
    except ClientGone:
        return
    except BodyTooSlow as too_slow:
        problem = too_slow
    await send_problem(send, problem)


async def refuse_websocket(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer ``problem`` to a WebSocket handshake (ASGI: "Denial Response").

    A server without that extension answers 403 with no body.
    """
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return

    async def send_as_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await send_problem(send_as_denial, problem)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
