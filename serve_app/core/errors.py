"""The errors that a client can see, as RFC 9457 problem documents.

::

    Problem
    ├── Unreadable         400  the request cannot be read at all
    ├── Unauthorized       401  no bearer token, or a wrong one
    ├── NotFound           404  no such path
    ├── MethodNotAllowed   405  the path is there, the method is not
    ├── BodyTooSlow        408  the body was not whole in time
    ├── BodyTooLarge       413
    ├── UnknownEncoding    415  a Content-Encoding that is not known
    ├── RuleBroken         422  readable, but a field breaks a rule
    ├── Unavailable        503  nothing was stored; try again (Retry-After)
    └── OutcomeUnknown     504  sent to the log, and no answer came: may or may not be stored
"""

from typing import ClassVar

import msgspec


class Problem(Exception):
    """A refusal with the HTTP status, the field and the rule that it names."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, field: str = "", retry_after_s: int = 0) -> None:
        """``field`` is the path of the offending value, such as ``product_info.price``."""
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s

    def document(self) -> bytes:
        """The body of media type ``application/problem+json``."""
        content: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field:
            content["field"] = self.field
        if self.retry_after_s:
            content["retry_after_s"] = self.retry_after_s
        return msgspec.json.encode(content)


class Unreadable(Problem):
    """The request is not what it claims to be (not JSON, not UTF-8)."""

    status = 400
    title = "Unreadable request"


class Unauthorized(Problem):
    """The API asks for a bearer token, and this request has none or a wrong one."""

    status = 401
    title = "Unauthorized"


class NotFound(Problem):
    """No such path."""

    status = 404
    title = "Not found"


class MethodNotAllowed(Problem):
    """The path exists for another method."""

    status = 405
    title = "Method not allowed"

    def __init__(self, detail: str, *, allow: str) -> None:
        """``allow`` is the value of the Allow header."""
        super().__init__(detail)
        self.allow = allow


class BodyTooSlow(Problem):
    """The body was not whole in time; what still comes of it is not read."""

    status = 408
    title = "Body too slow"


class BodyTooLarge(Problem):
    """The body is longer than the endpoint takes."""

    status = 413
    title = "Body too large"


class UnknownEncoding(Problem):
    """The body is compressed in a way that the endpoint does not know."""

    status = 415
    title = "Unknown encoding"


class RuleBroken(Problem):
    """A field breaks a rule of the contract; nothing was stored."""

    status = 422
    title = "Rule broken"


class Unavailable(Problem):
    """A store cannot be reached; nothing was stored, and a retry is safe."""

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        """``retry_after_s``: whole seconds after which a retry makes sense."""
        super().__init__(detail, retry_after_s=retry_after_s)


class OutcomeUnknown(Problem):
    """The tag was sent to the log and no answer came: a retry may count it twice."""

    status = 504
    title = "Outcome unknown"


class StoreAway(Exception):
    """A store does not answer for now; the message says which. Never reaches a client."""
