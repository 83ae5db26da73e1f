"""Takes the README's pictures of the page: `python -m tests.browser.screenshots`.

Starts a platform of its own on free ports, and needs about four minutes. The wrong answers come
from the tests' faulty server: the platform gives none.
"""

import base64
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from playwright.sync_api import Browser, Page, sync_playwright

from setup.command_line import run_main
from setup.local.platform import EVERYTHING, Platform
from tests.browser.faulty_server import FaultyModel, serving
from tests.browser.panel import Panel, build_page, chromium, panel_server

FOLDER = Path(__file__).parents[1] / "webpanel" / "ui" / "screenshots"
_MOST_BYTES = 200_000


def opened(browser: Browser, panel: Panel, scheme: Literal["light", "dark"]) -> Page:
    """The page in a window of its own."""
    page = browser.new_page(
        viewport={"width": 1440, "height": 940}, device_scale_factor=1.5, color_scheme=scheme
    )
    page.goto(panel.url)
    return page


def save(page: Page, name: str) -> None:
    """Save what is seen as WebP."""
    session = page.context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 82})
    content = base64.b64decode(shot["data"])
    assert len(content) < _MOST_BYTES, f"{name}: {len(content):,} bytes"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.webp").write_bytes(content)
    print(f"{name}: {len(content):,} bytes", flush=True)


def start(page: Page, panel: Panel, **parameters: Any) -> None:
    """Start a subscription."""
    answer = page.request.post(f"{panel.url}/subscriptions", data=parameters)
    assert answer.status == 201, answer.text()


def of_the_platform(browser: Browser, port: int, rate: float, seconds: float) -> None:
    """The live view in light and the explorer in dark."""
    with panel_server(port) as panel:
        page = opened(browser, panel, "light")
        # Event time runs ahead of the clock, so that there are many whole minutes to ask for.
        start(page, panel, port=port, rate=rate, duration_s=seconds * 1.3, step_ms=30)
        time.sleep(seconds)
        save(page, "live")
        page.close()
        page = opened(browser, panel, "dark")
        page.keyboard.press("3")
        page.locator(".chip").first.click()
        page.get_by_role("button", name="Show aggregates").click()
        page.locator(".barchart").wait_for()
        page.locator(".tall").wait_for()
        page.evaluate("document.activeElement.blur()")
        save(page, "explore-dark")
        page.close()


def of_wrong_answers(browser: Browser) -> None:
    """The view that explains wrong answers."""
    with serving(FaultyModel(4)) as port, panel_server(port) as panel:
        page = opened(browser, panel, "light")
        start(
            page,
            panel,
            **{"port": port, "rate": 90, "duration_s": 60, "step_ms": 400},
            **{"profile_lag_s": 0.5, "aggregate_lag_s": 0.5, "request_timeout_s": 5},
        )
        time.sleep(15)
        page.keyboard.press("2")
        page.get_by_role("option").filter(has_text="Profile").nth(2).click()
        page.locator(".diff mark").first.wait_for()
        save(page, "wrong-answers")
        page.close()


def main(
    rate: Annotated[float, typer.Option(help="User tags per second.")] = 200.0,
    seconds: Annotated[float, typer.Option(help="Until the live view is taken.")] = 110.0,
) -> None:
    """Take all three."""
    build_page()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder), free=True)
        try:
            # First: it needs an event loop of its own, and an open browser is in the way of that.
            platform.up(EVERYTHING)
            with sync_playwright() as playwright:
                browser = chromium(playwright)
                of_the_platform(browser, platform.http_port, rate, seconds)
                of_wrong_answers(browser)
                browser.close()
        finally:
            platform.down()


if __name__ == "__main__":
    run_main(main, __doc__)
