"""The Subscription API and the page, as one FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from tests.webpanel.ui import explore, problems
from tests.webpanel.ui.markdown import markdown
from tests.webpanel.ui.models import (
    NewSubscription,
    SubscriptionDocument,
    WrongAnswer,
    WrongAnswers,
)
from tests.webpanel.ui.monitor import Monitor
from tests.webpanel.ui.problems import PanelProblem, responses

PAGE = Path(__file__).with_name("web") / "dist"
"""Built by `make page`; the API works without it."""

_ABOUT = """\
Starts, controls and shows a subscription of the Web Panel. **One subscription at a time**: while
one is active, `POST /subscriptions` answers 409. The latest one is kept after its end, until the
next one starts or this server stops. Errors are problem documents (RFC 9457).
"""


def same_origin(request: Request) -> None:
    """Refuse requests from other sites' pages in the same browser."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise PanelProblem(403, "Refused", f"requests from {origin} are not accepted")


def make_app(monitor: Monitor, page: Path = PAGE) -> FastAPI:
    """The application; it opens and closes the monitor."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await monitor.open()
        yield
        await monitor.close()

    app = FastAPI(
        title="Web Panel: Subscription API",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        dependencies=[Depends(same_origin)],
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])

    _subscriptions(app, monitor)
    app.include_router(explore.router(monitor))
    _page(app, page)
    return app


def _subscriptions(app: FastAPI, monitor: Monitor) -> None:
    """The routes below `/subscriptions`, and the events."""

    @app.post(
        "/subscriptions",
        status_code=201,
        tags=["subscriptions"],
        responses=responses(409, 422, 502, 503),
    )
    async def start(new: NewSubscription, response: Response) -> SubscriptionDocument:
        """Start a subscription; 409 while another one is active."""
        run = await monitor.start(new)
        response.headers["Location"] = f"/subscriptions/{run.id}"
        return SubscriptionDocument(**run.document())

    @app.get("/subscriptions", tags=["subscriptions"])
    async def all_subscriptions() -> list[SubscriptionDocument]:
        """The latest subscription, if there was any."""
        return [SubscriptionDocument(**monitor.run.document())] if monitor.run else []

    @app.get("/subscriptions/{run_id}", tags=["subscriptions"], responses=responses(404))
    async def one(run_id: str) -> SubscriptionDocument:
        """A subscription with its state, parameters and counters."""
        return SubscriptionDocument(**monitor.find(run_id).document())

    @app.post(
        "/subscriptions/{run_id}/{step}", tags=["subscriptions"], responses=responses(404, 409)
    )
    async def steer(run_id: str, step: Literal["pause", "resume", "close"]) -> SubscriptionDocument:
        """Pause, resume or end it; answers when that is done."""
        run = monitor.find(run_id)
        await {"pause": run.pause, "resume": run.resume, "close": run.close}[step]()
        return SubscriptionDocument(**run.document())

    @app.get("/subscriptions/{run_id}/counters", tags=["figures"], responses=responses(404))
    async def counters(run_id: str) -> dict[str, Any]:
        """Requests by kind and outcome, answers by verdict, progress in %, score."""
        return monitor.find(run_id).counters

    @app.get("/subscriptions/{run_id}/history", tags=["figures"], responses=responses(404))
    async def history(run_id: str) -> dict[str, Any]:
        """Rates (a second), latencies (ms) and lags (tags) over time, in columns."""
        return monitor.find(run_id).history.document()

    @app.get("/subscriptions/{run_id}/wrong-answers", tags=["figures"], responses=responses(404))
    async def wrong_answers(run_id: str) -> WrongAnswers:
        """The latest wrong answers, newest first; only some of a burst."""
        run = monitor.find(run_id)
        return WrongAnswers(total=run.counters["wrong"], kept=run.wrong_summaries())

    @app.get(
        "/subscriptions/{run_id}/wrong-answers/{number}",
        tags=["figures"],
        responses=responses(404),
    )
    async def wrong_answer(run_id: str, number: int) -> WrongAnswer:
        """A wrong answer with expected and actual body, and a curl command."""
        run = monitor.find(run_id)
        for wrong in run.wrong:
            if wrong["number"] == number:
                return run.whole(wrong)
        raise PanelProblem(404, "Not found", f"wrong answer {number} is not kept")

    @app.get(
        "/subscriptions/{run_id}/report",
        tags=["figures"],
        response_class=Response,
        responses={
            200: {"content": {"application/json": {}, "text/markdown": {}}},
            **responses(404),
        },
    )
    async def report(run_id: str, format: Literal["json", "markdown"] = "json") -> Response:
        """The report as a file; also available while it runs."""
        run = monitor.find(run_id)
        content = await run.report()
        answer: Response = (
            JSONResponse(content)
            if format == "json"
            else PlainTextResponse(markdown(content), media_type="text/markdown")
        )
        suffix = "json" if format == "json" else "md"
        answer.headers["Content-Disposition"] = (
            f'attachment; filename="web-panel-{run.id}.{suffix}"'
        )
        return answer

    @app.get("/events", tags=["events"], response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        """`whole` first, then `counters` (4/s), `point` (1/s), `wrong`, `platform`, `history`.

        A client that reconnects gets `whole` again.
        """
        async for name, data in monitor.hub.listen():
            yield ServerSentEvent(event=name, raw_data=data)


def _page(app: FastAPI, page: Path) -> None:
    """The page at `/`, and the API's docs with assets of our own."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/swagger-ui-bundle.js",
            swagger_css_url="/swagger-ui.css",
            swagger_favicon_url="/favicon.svg",
        )

    if (page / "index.html").exists():
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    else:

        @app.get("/", include_in_schema=False)
        def not_built() -> PlainTextResponse:
            return PlainTextResponse("The page is not built: `make page`.", 503)
