"""Errors of the Subscription API, as RFC 9457 problem documents."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """A problem document; for invalid input it names the field and the rule."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None


class PanelProblem(Exception):
    """An error that is reported to the client."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.document = ProblemDocument(title=title, status=status, detail=detail)


def responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses` of a route that may answer these problems."""
    return {status: {"model": ProblemDocument, "content": {MEDIA_TYPE: {}}} for status in statuses}


def _answer(document: ProblemDocument) -> JSONResponse:
    return JSONResponse(
        document.model_dump(exclude_none=True), document.status, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""

    async def problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PanelProblem)
        return _answer(error.document)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        title = "Not found" if error.status_code == 404 else "Refused"
        return _answer(
            ProblemDocument(title=title, status=error.status_code, detail=str(error.detail))
        )

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return _answer(
            ProblemDocument(
                title="Rule broken",
                status=422,
                detail=f"{field}: {first['msg']}" if field else str(first["msg"]),
                field=field or None,
            )
        )

    app.add_exception_handler(PanelProblem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
