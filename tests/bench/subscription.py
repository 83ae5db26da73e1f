"""Drops, wrong answers and latency of a Web Panel subscription on fresh data.

`python -m tests.bench.subscription [--rate 200] [--duration 240]`: starts its own platform (as
``make run`` does) and runs a subscription at the rate, with its queries and its drain. Latency
counts from the moment a request was due.

Exit status 1 unless nothing was dropped and nothing answered wrong.
"""

from typing import Annotated

import typer

from setup.command_line import run_main
from tests.bench._panel import PanelRun, dropped, wrong
from tests.bench._platform import bench_platform
from tests.results.recording import Recording

_KINDS = ("user_tags", "user_profiles", "aggregates")


def main(
    rate: Annotated[int, typer.Option(help="User tags per second.")] = 200,
    duration: Annotated[int, typer.Option(help="Seconds.")] = 240,
) -> int:
    """Start, play, print, stop."""
    recording = Recording(f"subscription-{rate}")
    with (
        bench_platform() as platform,
        PanelRun(
            platform.http_port,
            rate=rate,
            duration_s=duration,
            start="2022-03-01T00:00:00Z",
            drain=True,
        ) as panel,
    ):
        report = panel.report()
    counters, latency = report["counters"], report["latency_ms"]
    sent = sum(counters[kind]["sent"] for kind in ("tags", "profiles", "aggregates"))
    lost = dropped(report)
    recording.figure("dropped", lost, at_most=0)
    recording.figure("wrong", wrong(report), at_most=0)
    recording.figure("sent", sent)
    rows = []
    for kind in _KINDS:
        times = latency[kind]
        for quantile in ("p50", "p99", "max"):
            recording.figure(f"{kind}_{quantile}_ms", times[quantile])
        rows.append((kind, *(f"{times[quantile]:.1f}" for quantile in ("p50", "p99", "max"))))
    recording.table("latency", ("requests", "p50, ms", "p99, ms", "max, ms"), rows)
    tags = latency["user_tags"]
    kept = recording.finish(
        f"{rate:,} tags/s for {duration} s: {lost:,} of {sent:,} dropped, "
        f"{wrong(report)} wrong; tags p50 / p99 / max {tags['p50']:.1f} / {tags['p99']:.1f} / "
        f"{tags['max']:.0f} ms"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
