"""Pages for people: what this is, and the API's docs, without a byte from elsewhere."""

import importlib.util
import json
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from serve_app.http.openapi import EXAMPLE_TAG
from serve_app.version import VERSION

ASSETS: Final = "/docs/assets"
"""Swagger UI's script and style, as the package fastapi-offline brings them."""


def add_pages(routes: FastAPI) -> None:
    """``GET /`` and ``GET /docs`` with its assets."""
    page = _landing_page()

    @routes.get("/", include_in_schema=False)
    async def landing() -> HTMLResponse:
        return HTMLResponse(page)

    @routes.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{routes.title}: the API",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            # Its badge asks a server on the Internet.
            swagger_ui_parameters={"validatorUrl": None},
        )

    routes.mount(ASSETS, StaticFiles(directory=_assets()), name="assets")


def _landing_page() -> str:
    text = Path(__file__).with_name("landing.html").read_text()
    example = json.dumps(EXAMPLE_TAG, indent=2)
    return text.replace("{{version}}", VERSION).replace("{{example}}", example)


def _assets() -> Path:
    # Not imported: it is wanted for its files alone.
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("fastapi-offline is not installed: see requirements.txt")
    return Path(spec.origin).parent / "static"
