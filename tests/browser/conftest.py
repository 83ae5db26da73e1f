"""One Chromium for all tests of the page; a panel's server for each module."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.faulty_server import FaultyModel, serving
from tests.browser.panel import Panel, build_page, chromium, panel_server

expect.set_options(timeout=30_000)  # a busy machine is not what is tested


@pytest.fixture(scope="package")
def built() -> None:
    """Build the page if it is missing or outdated."""
    build_page()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with the module: while it is open, other tests cannot run an event loop."""
    with sync_playwright() as playwright:
        opened = chromium(playwright)
        yield opened
        opened.close()


@pytest.fixture
def server() -> FaultyModel:
    """The panel's target: without faults until a test sets some."""
    return FaultyModel()


@pytest.fixture
def port(server: FaultyModel) -> Iterator[int]:
    with serving(server) as chosen:
        yield chosen


@pytest.fixture
def panel(built: None, port: int) -> Iterator[Panel]:
    with panel_server(port) as running:
        yield running


@pytest.fixture
def page(browser: Browser, panel: Panel) -> Iterator[Page]:
    """The open page; its scripts must not fail, and may only connect to the panel's server."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    errors: list[str] = []
    asked: set[str] = set()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: asked.add(request.url))
    opened.goto(panel.url)
    yield opened
    context.close()
    assert not errors
    assert all(url.startswith((panel.url, "data:")) for url in asked), asked
