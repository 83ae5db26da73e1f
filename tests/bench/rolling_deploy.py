"""Drops and wrong answers while new settings and a new version are deployed.

`python -m tests.bench.rolling_deploy [--rate 200]`: on its own platform, one subscription for each
of two ``serve deploy``: a change of ``user_config``, and a new version of the code, which replaces
all replicas of ``case12`` and all actors of ``case3``. Prints the time that the change took and the
dropped share of what was sent meanwhile.

Exit status 1 unless 0 wrong, at most 0.5 % dropped by a new version and 0 by new settings.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from serve_app.core.names import CASE12_APP
from setup.command_line import run_main
from setup.local.platform import Platform
from tests.bench._panel import PanelRun, dropped, wrong
from tests.bench._platform import bench_platform
from tests.bench._serve_config import write_variant
from tests.results.recording import Recording

GOAL_PERCENT: Final = 0.5
_BEFORE_S: Final = 15
_AFTER_S: Final = 15
_DRAIN_S: Final = 45
"""A replaced replica stays this long for open connections of HAProxy (Serve: 30 s)."""


def replicas(platform: Platform) -> dict[str, str]:
    """State by id of the replicas of ``case12``."""
    deployment = platform.ray.applications()[CASE12_APP]["deployments"][CASE12_APP]
    return {one["replica_id"]: one["state"] for one in deployment["replicas"]}


def change(platform: Platform, *, replaced: bool) -> float:
    """Deploy the current Serve config; returns the seconds until it is in effect."""
    old = {one for one, state in replicas(platform).items() if state == "RUNNING"}
    begun_s = time.monotonic()
    platform.deploy()
    while True:
        now = replicas(platform)
        running = {one for one, state in now.items() if state == "RUNNING"}
        statuses = {one["status"] for one in platform.ray.applications().values()}
        done = not running & old if replaced else running == old
        if statuses == {"RUNNING"} and done and len(running) == len(old):
            return time.monotonic() - begun_s
        time.sleep(0.5)


def measure(
    platform: Platform, file: Path, rate: int, recording: Recording, *, new_version: bool, day: int
) -> str:
    """One subscription with a change in it; what came of it, in words."""
    duration_s = _BEFORE_S + _AFTER_S + (30 + _DRAIN_S if new_version else 0)
    start = f"2022-03-{day:02d}T00:00:00Z"
    with PanelRun(platform.http_port, rate=rate, duration_s=duration_s, start=start) as panel:
        time.sleep(_BEFORE_S)
        write_variant(
            file,
            user_config={"ingest_linger_ms": 11},
            version="new" if new_version else None,
        )
        took_s = change(platform, replaced=new_version)
        report = panel.report()
    counters = report["counters"]
    sent = counters["tags"]["sent"] + counters["profiles"]["sent"]
    lost, false = dropped(report), wrong(report)
    # All drops of the run, relative to what was sent during the change.
    changing = took_s * sent / counters["elapsed_s"]
    percent = 100 * lost / changing
    name = "new version" if new_version else "user_config"
    print(
        f"{name}: {took_s:.1f} s, dropped {lost} of {changing:.0f} requests meanwhile"
        f" ({percent:.2f} %; {sent} in the whole run), wrong {false}, "
        f"tags {report['latency_ms']['user_tags']} ms",
        flush=True,
    )
    rows = enumerate(report["timeline"]["rows"])
    print("  dropped, by second of the run:", {at: row[1] for at, row in rows if row[1]})
    kinds = ("connect", "read_timeout", "other", "status_5xx", "status_4xx")
    print({kind: {k: counters[kind][k] for k in kinds} for kind in ("tags", "profiles")})
    short = "new_version" if new_version else "settings"
    goal = GOAL_PERCENT if new_version else 0.0
    recording.figure(f"{short}_s", round(took_s, 1))
    recording.figure(f"{short}_dropped_percent", round(percent, 3), at_most=goal)
    recording.figure(f"{short}_wrong", false, at_most=0)
    recording.figure(f"{short}_tags_p99_ms", report["latency_ms"]["user_tags"]["p99"])
    return f"{name}: {lost} of {changing:,.0f} requests dropped in {took_s:.0f} s, {false} wrong"


def main(
    rate: Annotated[int, typer.Option(help="User tags per second.")] = 200,
) -> int:
    """Start, change twice, stop."""
    recording = Recording("rolling-deploy")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "serve_config.yaml"
        write_variant(file)
        with bench_platform(serve_config=file) as platform:
            lines = [
                measure(platform, file, rate, recording, new_version=new, day=day)
                for new, day in ((False, 1), (True, 2))
            ]
    return 0 if recording.finish("; ".join(lines)) else 1


if __name__ == "__main__":
    run_main(main, __doc__)
