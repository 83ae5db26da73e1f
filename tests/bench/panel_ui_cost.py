"""Whether the page disturbs the stream that it measures, compared with the terminal version.

`python -m tests.bench.panel_ui_cost`: the same stream against a server that does nothing, in turn
by the terminal version, by the page's server without a page, and with the page open in headless
Chromium. Prints the sender's lag behind its schedule, the latency of tags, and processor time by
process. Headless Chromium renders in software, so it costs more than on a desktop.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer
from playwright.sync_api import sync_playwright

from setup.command_line import run_main
from tests.bench.panel_cost import measure
from tests.browser.panel import Panel, build_page, chromium, panel_server
from tests.results.recording import Recording

_PARTS = ("sender", "page's server", "browser")


@contextmanager
def dummy() -> Iterator[int]:
    """Starts the dummy server; yields its port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.webpanel.dummy_server"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline().split()[1])
    finally:
        server.terminate()
        server.wait()


def cpu_s(processes: list[psutil.Process]) -> float:
    """Processor time of these processes together, without those that have ended."""
    total = 0.0
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def browser_processes() -> list[psutil.Process]:
    """Chromium's processes among our children."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "chrom" in one.name():
                found.append(one)
    return found


def subscribe(panel: Panel, port: int, rate: float, duration_s: float) -> dict[str, Any]:
    """One run through the API; returns the report, with processor time by part in cores."""
    with httpx.Client(base_url=panel.url, timeout=30) as client:
        parameters = {"port": port, "rate": rate, "duration_s": duration_s, "drain": False}
        parameters |= {"profile_lag_s": 1, "aggregate_lag_s": 1, "step_ms": 6}
        run_id = client.post("/subscriptions", json=parameters).raise_for_status().json()["id"]
        parts = [psutil.Process(panel.process.pid)], browser_processes()
        before = [cpu_s(part) for part in parts]
        began = time.monotonic()
        while client.get(f"/subscriptions/{run_id}").json()["state"] in ("starting", "running"):
            time.sleep(0.5)
        elapsed = time.monotonic() - began
        after = [cpu_s(part) for part in parts]
        report: dict[str, Any] = client.get(f"/subscriptions/{run_id}/report").json()
    used = [(new - old) / elapsed for new, old in zip(after, before, strict=True)]
    report["cores"] = dict(zip(_PARTS, [report["panel"]["cores"], *used], strict=True))
    return report


def show(name: str, report: dict[str, Any]) -> tuple[str, ...]:
    """Print one line; a row of the result's table."""
    lag, tags = report["generator_lag_ms"], report["latency_ms"]["user_tags"]
    counters = report["counters"]
    dropped = sum(counters[kind]["dropped"] for kind in ("tags", "profiles", "aggregates"))
    cores = report.get("cores", {"sender": report["panel"]["cores"]})
    parts = "  ".join(f"{part} {value:.3f}" for part, value in cores.items())
    print(
        f"{name:<22} lag ms p50 {lag['p50']:6.2f}  p99 {lag['p99']:6.2f}  max {lag['max']:6.1f}"
        f" | tags ms p50 {tags['p50']:6.2f}  p99 {tags['p99']:6.2f} | dropped {dropped:4}"
        f" | cores: {parts}",
        flush=True,
    )
    lags, times = (f"{one['p50']:.2f} / {one['p99']:.2f}" for one in (lag, tags))
    return name, lags, times, str(dropped), parts


def main(
    rate: Annotated[float, typer.Option(help="User tags per second.")] = 1000.0,
    duration: Annotated[float, typer.Option(help="Seconds.")] = 15.0,
    turns: int = 2,
) -> None:
    """Measure each variant in turns."""
    build_page()
    recording, rows = Recording("panel-ui-cost"), []
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            rows.append(show("terminal", measure(rate, duration, path)))
        with dummy() as port, panel_server(port) as panel:
            report = subscribe(panel, port, rate, duration)
            rows.append(show("page's server alone", report))
            with sync_playwright() as playwright:
                page = chromium(playwright).new_page(viewport={"width": 1440, "height": 900})
                page.goto(panel.url)
                report = subscribe(panel, port, rate, duration)
                rows.append(show("page open in Chromium", report))
    recording.table(
        "ways", ("by", "lag p50 / p99, ms", "tags p50 / p99, ms", "dropped", "cores"), rows
    )
    recording.finish(f"the stream of {rate:g} tags/s without the page and with it")


if __name__ == "__main__":
    run_main(main, __doc__)
