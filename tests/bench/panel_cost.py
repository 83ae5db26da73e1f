"""Processor time of the Web Panel itself, against a server that does nothing.

`python -m tests.bench.panel_cost`: starts the dummy server and the panel in processes of their own,
and prints the panel's share of a core under the full mix of requests. The wait before the first
profile query is shortened.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from setup.command_line import run_main
from tests.results.recording import Recording

GOAL_CORES = 0.3


def measure(rate: float, duration_s: float, report_path: Path) -> dict[str, Any]:
    """One run; returns the panel's report. `rate`: tags per second, without queries."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.webpanel.dummy_server"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split()[1]
        subprocess.run(
            [
                *(sys.executable, "-m", "tests.webpanel", "--port", port, "--quiet"),
                *("--rate", str(rate), "--duration", str(duration_s), "--drain", "no"),
                *("--profile-lag", "1", "--aggregate-lag", "1", "--step", "6"),
                *("--report", str(report_path)),
            ],
            check=False,  # the dummy's answers are wrong, on purpose
            stdout=subprocess.DEVNULL,
        )
    finally:
        server.terminate()
        server.wait()
    report: dict[str, Any] = json.loads(report_path.read_text())
    return report


def main(
    rate: Annotated[float, typer.Option(help="User tags per second.")] = 1000.0,
    duration: Annotated[float, typer.Option(help="Seconds.")] = 30.0,
) -> int:
    """Measure and print; 1 if the panel takes more than 0.3 of a core."""
    recording = Recording("panel-cost")
    with tempfile.TemporaryDirectory() as folder:
        report = measure(rate, duration, Path(folder) / "report.json")
    counters, panel = report["counters"], report["panel"]
    kinds = {kind: counters[kind]["sent"] for kind in ("tags", "profiles", "aggregates")}
    requests = sum(kinds.values())
    elapsed = counters["elapsed_s"]
    print(f"requests: {kinds}, {requests / elapsed:.0f} a second")
    print(f"processor time: {panel['cpu_s']:.2f} s of {elapsed:.1f} s = {panel['cores']:.3f} cores")
    print(f"a request: {panel['cpu_s'] / requests * 1e6:.0f} us")
    print(f"dropped: {sum(counters[kind]['dropped'] for kind in kinds)}")
    print(f"latency of tags: {report['latency_ms']['user_tags']} ms")
    print(f"generator lag: {report['generator_lag_ms']} ms")
    recording.figure("cores", panel["cores"], at_most=GOAL_CORES)
    recording.figure("us_a_request", round(panel["cpu_s"] / requests * 1e6, 1))
    kept = recording.finish(
        f"the Web Panel takes {panel['cores']:.3f} of a core at {requests / elapsed:,.0f} "
        "requests/s"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
