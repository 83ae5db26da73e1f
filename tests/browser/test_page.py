"""Use of the page: start, watch, pause, inspect wrong answers, explore."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from setup.local.waiting import wait_for
from tests.browser.faulty_server import WRONG_PRICE, FaultyModel
from tests.browser.panel import CHECKOUT, Panel

AXE = CHECKOUT / "tests/webpanel/ui/web/node_modules/axe-core/axe.min.js"
# Event time runs much faster than the clock, so that minutes close at once; short waits.
QUICK = {
    "rate": 100,
    "step_ms": 500,
    "duration_s": 600,
    "profile_lag_s": 0.3,
    "aggregate_lag_s": 0.3,
    "aggregate_interval_s": 0.1,
    "request_timeout_s": 5,
}


def start(page: Page, panel: Panel, port: int, **parameters: Any) -> str:
    """Start a subscription through the API; returns its id."""
    answer = page.request.post(
        f"{panel.url}/subscriptions", data={**QUICK, "port": port, **parameters}
    )
    assert answer.status == 201, answer.text()
    return str(answer.json()["id"])


def sent(page: Page) -> int:
    """Tags sent, as the tile shows it."""
    return int(page.get_by_test_id("Tags sent").locator(".big").inner_text().replace(",", ""))


def wait_for_more(page: Page, than: int) -> None:
    page.wait_for_function(
        """than => {
            const tile = document.querySelector('[data-testid="Tags sent"] .big');
            return tile && Number(tile.textContent.replaceAll(",", "")) > than;
        }""",
        arg=than,
        timeout=30_000,
    )


def test_a_subscription_by_keyboard_alone(page: Page, panel: Panel) -> None:
    expect(page.get_by_role("heading", name="Start a subscription")).to_be_visible()
    focused: list[str] = []
    while "rate" not in focused:
        page.keyboard.press("Tab")
        focused.append(
            page.evaluate("document.activeElement.name || document.activeElement.textContent")
        )
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) != "none", focused
        assert len(focused) < 30, focused
    assert focused[0] == "Skip to content"
    assert focused.index("Live") < focused.index("host") < focused.index("port")
    page.keyboard.type("150")
    page.keyboard.press("Enter")
    state = page.get_by_test_id("state")
    expect(state).to_have_text("running")
    wait_for_more(page, 0)
    wait_for_more(page, sent(page))

    page.keyboard.press("p")
    expect(state).to_have_text("paused")
    before = sent(page)
    page.reload()
    expect(state).to_have_text("paused")
    page.wait_for_timeout(800)
    assert sent(page) == before
    page.keyboard.press("p")
    expect(state).to_have_text("running")
    wait_for_more(page, before)

    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Keep it running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(state).to_have_text("running")
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Keep it running")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(state).to_have_text("closed")
    expect(page.get_by_text("Closed before its end")).to_be_visible()
    wait_for("the sender", lambda: "still runs" if panel.senders() else None, timeout_s=10)
    page.keyboard.press("n")
    expect(page.get_by_role("dialog").get_by_label("Host")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def test_a_wrong_answer_is_explained(
    page: Page, panel: Panel, port: int, server: FaultyModel
) -> None:
    server.every = 3
    start(page, panel, port)
    expect(page.get_by_role("link", name="Wrong answers").locator(".badge")).to_be_visible()
    page.keyboard.press("2")
    profile = page.get_by_role("option").filter(has_text="Profile").first
    expect(page.get_by_role("option").nth(2)).to_be_visible()
    page.request.post(f"{panel.url}/subscriptions/{subscription(page, panel)['id']}/pause")
    profile.click()
    expect(page.locator(".diff mark").first).to_be_visible()
    expected, actual = page.locator(".pair.changed").first.locator("> div").all()
    assert actual.locator("mark").inner_text() in str(WRONG_PRICE)
    assert str(WRONG_PRICE) not in expected.inner_text()
    assert str(WRONG_PRICE) in actual.inner_text()
    expect(page.locator(".reasons")).to_contain_text("not expected")

    page.get_by_role("button", name="Copy the curl command").click()
    command = str(page.evaluate("navigator.clipboard.readText()"))
    answer = json.loads(subprocess.run(shlex.split(command), capture_output=True).stdout)
    assert f'"cookie": "{answer["cookie"]}"' in page.locator(".diff").inner_text()

    listed = page.get_by_role("listbox")
    listed.focus()
    before = str(listed.get_attribute("aria-activedescendant"))
    newest = page.get_by_role("option").first.get_attribute("id")
    page.keyboard.press("ArrowDown" if before == newest else "ArrowUp")
    expect(listed).not_to_have_attribute("aria-activedescendant", before)


def subscription(page: Page, panel: Panel) -> Any:
    return page.request.get(f"{panel.url}/subscriptions").json()[0]


def test_a_flawless_run_and_its_report(page: Page, panel: Panel, port: int, tmp_path: Path) -> None:
    start(page, panel, port, rate=300, duration_s=4, step_ms=100)
    expect(page.get_by_text("Finished without a flaw")).to_be_visible()
    expect(page.get_by_test_id("Score").locator(".big")).to_have_text("20,000.0")
    expect(page.get_by_test_id("Tags sent").locator(".big")).to_have_text("1,200")
    expect(page.get_by_test_id("Dropped").locator(".big")).to_have_text("0")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Report as JSON").click()
    downloading.value.save_as(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["flawless"]
    assert report["counters"]["tags"]["sent"] == 1200
    assert sum(report["history"]["columns"]["user_tags_sent"]) > 0
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="No wrong answers")).to_be_visible()


def test_dropped_requests_are_shown_by_kind(
    page: Page, panel: Panel, port: int, server: FaultyModel
) -> None:
    server.refuse_every = 5
    start(page, panel, port)
    dropped = page.locator("figure").filter(has_text="Dropped")
    expect(dropped.locator(".legend")).to_contain_text("5xx")
    expect(page.get_by_test_id("Dropped")).to_have_class(re.compile("bad"))


def test_a_sender_that_dies_is_shown(page: Page, panel: Panel, port: int) -> None:
    start(page, panel, port)
    wait_for_more(page, 0)
    (sender,) = panel.senders()
    sender.kill()
    expect(page.get_by_text("The sending process broke down")).to_be_visible()
    expect(page.get_by_text("killed by signal 9")).to_be_visible()
    expect(page.get_by_role("button", name="New subscription")).to_be_visible()


def test_a_server_that_is_gone_is_shown(page: Page, panel: Panel) -> None:
    expect(page.get_by_role("heading", name="Start a subscription")).to_be_visible()
    panel.process.terminate()
    panel.process.wait(15)
    expect(page.get_by_text("The panel's server does not answer")).to_be_visible()


def test_a_platform_that_is_not_there(page: Page, panel: Panel) -> None:
    page.get_by_label("Port").fill("1")
    page.get_by_role("button", name="Start subscription").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("502 Platform not reachable")
    expect(alert).to_contain_text("nothing listens at 127.0.0.1:1")


def test_explorer(page: Page, panel: Panel, port: int, server: FaultyModel) -> None:
    start(page, panel, port, rate=300, duration_s=2, step_ms=200)
    expect(page.get_by_text(re.compile("Finished"))).to_be_visible()
    cookie = server.tags[0][1]["cookie"]
    mine = [tag for _, tag in server.tags if tag["cookie"] == cookie]
    page.keyboard.press("3")
    explorer = page.get_by_role("region", name="Profile explorer")
    explorer.get_by_label("Cookie").fill(cookie)
    page.keyboard.press("Enter")
    expect(explorer.locator("tbody tr")).to_have_count(len(mine))
    expect(explorer.locator("tbody")).to_contain_text(mine[0]["product_info"]["brand_id"])

    explorer.get_by_label("From (UTC)").fill("2022-03-02 00:00")
    explorer.get_by_label("To (UTC)").fill("2022-03-01 00:00")
    page.keyboard.press("Enter")
    expect(explorer.get_by_role("alert")).to_contain_text("422 Rule broken")
    expect(explorer.get_by_role("alert")).to_contain_text("Field: time_range")

    aggregates = page.get_by_role("region", name="Aggregate explorer")
    aggregates.get_by_label("From (UTC)").fill("2022-03-01 00:00")
    aggregates.get_by_label("Minutes").fill("3")
    page.keyboard.press("Enter")
    expect(aggregates.get_by_text(f"{len(server.tags)} tags")).to_be_visible()
    expect(aggregates.locator("svg rect")).to_have_count(2 * 3)
    brand = server.tags[0][1]["product_info"]["brand_id"]
    fitting = [tag for _, tag in server.tags if tag["product_info"]["brand_id"] == brand]
    aggregates.get_by_label("Brand").fill(brand)
    page.keyboard.press("Enter")
    expect(aggregates.get_by_text(f"{len(fitting)} tags", exact=False).first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_in_light_and_dark_and_fits(
    page: Page, panel: Panel, port: int, server: FaultyModel, scheme: Any
) -> None:
    server.every = 3
    page.emulate_media(color_scheme=scheme)
    start(page, panel, port)
    expect(page.locator(".badge")).to_be_visible()
    dark = "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128"
    assert page.evaluate(dark) == (scheme == "dark")
    page.add_script_tag(path=AXE)
    for view in "123":
        page.keyboard.press(view)
        if view == "2":
            expect(page.locator(".diff mark").first).to_be_visible()
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        problems = [
            (one["id"], one["help"], [node["target"] for node in one["nodes"]][:3])
            for one in found["violations"]
        ]
        assert not problems
        for width in (800, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.keyboard.press("t")  # light
    page.keyboard.press("t")  # dark
    assert page.evaluate(dark)
    page.reload()
    expect(page.locator("main")).to_be_visible()
    assert page.evaluate(dark)
