"""Everything but the hot path, on FastAPI: pages, health, version, and the refusal of the rest."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from serve_app.core.errors import MethodNotAllowed, NotFound, Problem
from serve_app.http.messages import PROBLEM_JSON
from serve_app.http.openapi import document
from serve_app.http.pages import add_pages
from serve_app.version import VERSION
from serve_app.version import report as version_report

Report = Callable[[], Awaitable[dict[str, Any]]]


async def _no_stores() -> dict[str, Any]:
    return await version_report({})


def build_routes(health: Report, versions: Report = _no_stores) -> FastAPI:
    """The FastAPI application.

    Args:
        health: gives ``{"status": "ok" | "degraded", "stores": {name: {…}}}``.
        versions: gives what `serve_app.version.report` does.
    """
    routes = FastAPI(title="User tags", version=VERSION, docs_url=None, redoc_url=None)
    routes.openapi = lambda: document(routes)  # type: ignore[method-assign]

    @routes.get("/health", tags=["operations"], summary="The health of each store")
    async def report() -> JSONResponse:
        """200 when every store answers, 503 when one does not; the body names each.

        Nothing that routes traffic should ask this: when a store is down, all replicas are
        degraded alike, and taking them away helps nobody. Serve's own ``/-/healthz`` is for that.
        """
        content = await health()
        return JSONResponse(content, status_code=200 if content["status"] == "ok" else 503)

    @routes.get("/version", tags=["operations"], summary="What runs here")
    async def version() -> JSONResponse:
        """Commit, and versions of Python, Ray and the stores; null is not known."""
        return JSONResponse(await versions())

    add_pages(routes)

    @routes.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        problem: Problem
        if error.status_code == MethodNotAllowed.status:
            allow = (error.headers or {}).get("Allow", "GET")
            problem = MethodNotAllowed(f"{request.method} is not allowed here", allow=allow)
        else:
            problem = NotFound(f"no such path: {request.url.path}")
        return Response(
            problem.document(),
            status_code=problem.status,
            headers=dict(error.headers or {}),
            media_type=PROBLEM_JSON.decode(),
        )

    return routes
