"""The three endpoints of the contract as one ASGI application.

It stands in front of FastAPI, which costs more than a millisecond of processor time a request,
and passes on every other path.
"""

import logging
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.core.deadline import Deadline
from serve_app.core.errors import MethodNotAllowed, OutcomeUnknown, Problem, Unavailable, Unreadable
from serve_app.core.metrics import QUERIES_ANSWERED, REQUESTS_REFUSED, NoRecorder, Recorder
from serve_app.core.query import parse_aggregate_query, parse_parameters, parse_profile_query
from serve_app.core.tag import MAX_BODY_BYTES, decode_timed_tag
from serve_app.freshness import FreshAggregates, FreshProfiles
from serve_app.http.encoding import decoded, encoding_of
from serve_app.http.messages import (
    ClientGone,
    read_body,
    send_json,
    send_no_content,
    send_problem,
    skip_body,
)
from serve_app.http.request_id import request_id
from serve_app.ingest import Ingest

logger = logging.getLogger(__name__)

USER_TAGS_PATH: Final = "/user_tags"
USER_PROFILES_PATH: Final = "/user_profiles/"
AGGREGATES_PATH: Final = "/aggregates"

_encode = msgspec.json.Encoder().encode


class Endpoints:
    """``POST /user_tags``, ``POST /user_profiles/{cookie}``, ``POST /aggregates``."""

    def __init__(
        self,
        ingest: Ingest,
        profiles: FreshProfiles,
        aggregates: FreshAggregates,
        *,
        profile_timeout_s: float,
        aggregate_timeout_s: float,
        fallback: ASGIApp,
        recorder: Recorder | None = None,
        record_request_ids: bool = True,
    ) -> None:
        """The time-outs bound how late an answer may be; ``fallback`` gets all other paths."""
        self._ingest = ingest
        self._profiles = profiles
        self._aggregates = aggregates
        self.profile_timeout_s = profile_timeout_s
        self.aggregate_timeout_s = aggregate_timeout_s
        self._fallback = fallback
        self._recorder = recorder or NoRecorder()
        self._record_request_ids = record_request_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope.get("path", "")
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
        elif path == USER_TAGS_PATH:
            await self._answer(self._user_tags, scope, receive, send)
        elif path.startswith(USER_PROFILES_PATH):
            await self._answer(self._user_profiles, scope, receive, send)
        elif path == AGGREGATES_PATH:
            await self._answer(self._aggregate, scope, receive, send)
        else:
            await self._answer_elsewhere(scope, receive, send)

    async def _answer_elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """All other paths are for GET; a request's body is read first, whatever it is."""
        try:
            await skip_body(receive)
        except ClientGone:
            return
        except Problem as problem:
            await send_problem(send, problem)
            return
        await self._fallback(scope, _after_body(receive), send)

    async def _answer(self, endpoint: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                await skip_body(receive)
                raise MethodNotAllowed(f"{scope['method']} is not allowed here", allow="POST")
            await endpoint(scope, receive, send)
        except Problem as problem:
            name = scope["path"].split("/", 2)[1]
            reason = type(problem).__name__
            self._recorder.add(REQUESTS_REFUSED, 1, name, str(problem.status), reason)
            await send_problem(send, problem)
        except ClientGone:
            return

    async def _user_tags(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = encoding_of(scope)
        body = await read_body(receive, MAX_BODY_BYTES)
        if encoding:
            body = decoded(body, encoding, MAX_BODY_BYTES)
        tag, time_ms = decode_timed_tag(body)
        try:
            id_ = request_id(scope) if self._record_request_ids else b""
            await self._ingest.accept(tag, time_ms, body, id_)
        except Problem:
            raise
        except Exception as error:
            logger.exception("unexpected error while accepting a tag")
            raise OutcomeUnknown("internal error") from error
        await send_no_content(send)

    async def _user_profiles(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = Deadline.after(self.profile_timeout_s)
        await skip_body(receive)
        parameters = parse_parameters(scope["query_string"])
        query = parse_profile_query(_cookie(scope), parameters)
        try:
            answer = await self._profiles.answer(query, deadline)
        except Problem:
            raise
        except Exception as error:
            logger.exception("unexpected error while answering a profile query")
            raise Unavailable("internal error") from error
        self._recorder.add(QUERIES_ANSWERED, 1, "user_profiles")
        await send_json(send, _encode(answer))

    async def _aggregate(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = Deadline.after(self.aggregate_timeout_s)
        await skip_body(receive)
        query = parse_aggregate_query(parse_parameters(scope["query_string"]))
        try:
            answer = await self._aggregates.answer(query, deadline)
        except Problem:
            raise
        except Exception as error:
            logger.exception("unexpected error while answering an aggregate query")
            raise Unavailable("internal error") from error
        self._recorder.add(QUERIES_ANSWERED, 1, "aggregates")
        await send_json(send, _encode(answer))


def _after_body(receive: Receive) -> Receive:
    """An empty body, then the messages that follow the body that was read: a disconnect.

    A streamed response waits for that meanwhile (Starlette).
    """
    begun = False

    async def next_message() -> Message:
        nonlocal begun
        if begun:
            return await receive()
        begun = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return next_message


def _cookie(scope: Scope) -> str:
    """The rest of the path, percent-decoded; from the raw path, so that ``%2F`` is no slash.

    Raises:
        Unreadable: the decoded bytes are not UTF-8.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    segments = raw.partition(b"?")[0].split(b"/", 2)
    # Two segments only: the slash before the cookie was itself percent-encoded.
    rest = segments[2] if len(segments) > 2 else scope["path"][len(USER_PROFILES_PATH) :].encode()
    try:
        return unquote_to_bytes(rest).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"cookie: not UTF-8: {error}") from None
