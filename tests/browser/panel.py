"""Starts a panel server for a test, and its page in headless Chromium."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Playwright

CHECKOUT = Path(__file__).parents[2]
# Without the switches below Chromium keeps trying to reach its vendor's servers.
_SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def build_page() -> None:
    """Build the page, if it is missing or outdated."""
    subprocess.run(["make", "--silent", "page"], cwd=CHECKOUT, check=True)


def chromium(playwright: Playwright, switches: Sequence[str] = ()) -> Browser:
    """Debian's Chromium; AssertionError if it is not installed."""
    path = shutil.which("chromium")
    assert path, "no chromium: `setup/install.sh chromium` installs it"
    return playwright.chromium.launch(executable_path=path, args=[*_SWITCHES, *switches])


@dataclass
class Panel:
    """The panel's server, started by its command line."""

    url: str
    process: "subprocess.Popen[str]"

    def senders(self) -> list[psutil.Process]:
        """Its sender processes."""
        return psutil.Process(self.process.pid).children()


@contextmanager
def panel_server(target_port: int, token: str = "") -> Iterator[Panel]:
    """A server with this target port; it and its sender must end at the end."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.webpanel.ui", "--port", "0"),
            *("--target-port", str(target_port)),
        ],
        cwd=CHECKOUT,
        env={**os.environ, "TAGS_API_TOKEN": token},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, f"the panel's server said {first!r}"
        panel = Panel(found[0], process)
        yield panel
    finally:
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        if process.stdout is not None:
            process.stdout.close()
        _, alive = psutil.wait_procs(children, 10)
        assert not alive, f"left behind: {alive}"
