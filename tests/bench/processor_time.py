"""Where the processor time of a request goes, part by part, at steady rates.

`python -m tests.bench.processor_time [--rates 250,500,750,1000] [--duration 60]`: starts a
platform of its own on free ports and fresh data, runs a Web Panel subscription at each rate and
prints, for every part, milliseconds of processor time a user tag (queries are in it: one profile
query for every ten tags), with latency and drops. Exit status 1 if anything was answered wrong.

Times are the kernel's (user + system) of every process of the instance, before and after the run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from setup.local.leftovers import marked_processes
from setup.local.platform import Platform

PARTS: Final = (
    ("replica", "ServeReplica:case12"),
    ("actors", "ServeReplica:case3"),
    ("HAProxyManager", "HAProxyManager"),
    ("HAProxy", "haproxy"),
    ("Redis", "redis-server"),
    ("Kafka", "kafka.Kafka"),
    ("MariaDB", "mariadbd"),
)
REST: Final = "rest of Ray"


def part_of(process: psutil.Process) -> str:
    """The part that a process belongs to, by its command line."""
    command = " ".join(process.cmdline())
    return next((part for part, mark in PARTS if mark in command), REST)


def processor_times(root: Path) -> dict[str, float]:
    """Seconds used so far, by part; what a process that ended had used is not in it."""
    seconds = dict.fromkeys((*(part for part, _ in PARTS), REST), 0.0)
    for process in marked_processes(root):
        try:
            times = process.cpu_times()
            seconds[part_of(process)] += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return seconds


def run_panel(platform: Platform, rate: int, duration_s: int, start: str) -> dict[str, Any]:
    """One subscription; its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "tests.webpanel", "--port", str(platform.http_port), "--quiet"),
            *("--rate", str(rate), "--duration", str(duration_s), "--step", str(1000 / rate)),
            *("--start", start, "--drain", "no", "--report", str(report)),
        ]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        content: dict[str, Any] = json.loads(report.read_text())
    return content


def measure(platform: Platform, rates: Sequence[int], duration_s: int) -> int:
    """Run at each rate and print a column; how many answers were wrong in all."""
    wrong = 0
    for number, rate in enumerate(rates):
        before = processor_times(platform.folder.root)
        # A day of event time apart, so that no run counts what another one sent.
        report = run_panel(platform, rate, duration_s, f"2022-03-{number + 1:02d}T00:00:00Z")
        after = processor_times(platform.folder.root)
        counters, latency = report["counters"], report["latency_ms"]["user_tags"]
        tags, elapsed_s = counters["tags"]["sent"], counters["elapsed_s"]
        print(f"\n{rate} tags/s for {elapsed_s:.0f} s: {json.dumps(latency)} ms")
        dropped = sum(counters[kind]["dropped"] for kind in ("tags", "profiles", "aggregates"))
        print(f"dropped {dropped}, generator lag {json.dumps(report['generator_lag_ms'])} ms")
        used = {part: after[part] - before[part] for part in after}
        for part, seconds in [*used.items(), ("all of the platform", sum(used.values()))]:
            print(
                f"{part:>20} {1000 * seconds / tags:6.2f} ms a tag {seconds / elapsed_s:6.2f} cores"
            )
        print(f"{'Web Panel':>20} {1000 * report['panel']['cpu_s'] / tags:6.2f} ms a tag")
        wrong += sum(counters[kind]["wrong"] for kind in ("profile_answers", "aggregate_answers"))
    return wrong


def main() -> int:
    """Start, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="250,500,750,1000", help="user tags a second")
    parser.add_argument("--duration", type=int, default=60, help="seconds at each rate")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        platform = Platform(Path(folder) / "p", free=True)
        try:
            platform.up()
            wrong = measure(
                platform, [int(rate) for rate in given.rates.split(",")], given.duration
            )
        finally:
            platform.down()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
