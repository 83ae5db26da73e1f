"""Web Panel subscriptions against a platform, for the benchmarks."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class PanelRun:
    """A subscription in its own process; `report` waits for its end."""

    def __init__(
        self,
        port: int,
        *,
        rate: int,
        duration_s: int,
        start: str,
        seed: int = 1,
        drain: bool = False,
    ) -> None:
        """Start it. ``start``: event time of the first tag; event time runs with the clock."""
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "report.json"
        command = [
            *(sys.executable, "-m", "tests.webpanel", "--port", str(port), "--quiet"),
            *("--rate", str(rate), "--duration", str(duration_s), "--step", str(1000 / rate)),
            *("--start", start, "--seed", str(seed), "--drain", "yes" if drain else "no"),
            *("--report", str(self._file)),
        ]
        # A session of its own gets its own share of the processor (autogroups).
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self._folder.cleanup()

    def report(self) -> dict[str, Any]:
        self.process.wait()
        content: dict[str, Any] = json.loads(self._file.read_text())
        return content


def dropped(report: dict[str, Any]) -> int:
    """Dropped requests of all kinds."""
    return sum(report["counters"][kind]["dropped"] for kind in ("tags", "profiles", "aggregates"))


def wrong(report: dict[str, Any]) -> int:
    """Wrong or empty answers to either query."""
    answers = (report["counters"][kind] for kind in ("profile_answers", "aggregate_answers"))
    return sum(answer["wrong"] + answer["empty"] for answer in answers)
