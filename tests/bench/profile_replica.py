"""A processor profile of a replica under a steady load.

`python -m tests.bench.profile_replica [--rate 1000] [--seconds 20] [--raw FILE]`: starts its own
platform, runs a subscription, samples one replica with py-spy (which comes with Ray) and prints the
share of its processor time by owner: the innermost frame of a known package owns the sample. Then
the functions with the most self time. ``--raw`` writes the stacks, one per line, for speedscope or
flamegraph.pl.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from setup.command_line import run_main
from setup.local.leftovers import marked_processes
from tests.bench._panel import PanelRun, dropped
from tests.bench._platform import bench_platform
from tests.bench._processes import part_of
from tests.results.recording import Recording

OWNERS: Final = (
    # (text in a frame, owner); the first match wins.
    ("serve_app/stores/redis", "our Redis connection"),
    ("serve_app/stores/tag_log", "our Kafka lanes"),
    ("serve_app/stores/log_ends", "our sampler of the log's ends"),
    ("serve_app/", "our HTTP layer and rules"),
    ("aiokafka", "aiokafka"),
    ("ray/serve", "Ray Serve"),
    ("uvicorn", "uvicorn"),
    ("starlette", "Ray Serve"),
    ("ray/", "Ray"),
    ("opencensus", "Ray"),
)
WAITS: Final = ("epoll_wait", "epoll_pwait", "poll", "pthread_cond", "futex", "0x")
"""Innermost frames of waiting threads, which py-spy --native reports as running."""
_WARM_UP_S: Final = 15


def owner(stack: list[str]) -> str:
    """Owner of a sample; ``stack`` from the outermost frame to the innermost."""
    for frame in reversed(stack):
        for mark, name in OWNERS:
            if mark in frame:
                return name
    return "event loop and others"


def show(raw: str) -> dict[str, float]:
    """Print shares by owner and by function; returns the former in percent, largest first.

    ``raw``: one stack per line, ``frame;frame;… count``.
    """
    owners: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in raw.splitlines():
        text, _, samples = line.rpartition(" ")
        stack = text.split(";")
        if stack[-1].startswith(WAITS):
            continue
        owners[owner(stack)] += int(samples)
        functions[stack[-1]] += int(samples)
    total = sum(owners.values())
    print("| owner | share |\n| --- | --- |")
    for name, count in owners.most_common():
        print(f"| {name} | {100 * count / total:.1f} % |")
    print("\n| function (its own time) | share |\n| --- | --- |")
    for name, count in functions.most_common(25):
        print(f"| `{name}` | {100 * count / total:.1f} % |")
    return {name: round(100 * count / total, 1) for name, count in owners.most_common()}


def main(
    rate: Annotated[int, typer.Option(help="User tags per second.")] = 1000,
    seconds: Annotated[int, typer.Option(help="How long to sample.")] = 20,
    raw: Annotated[Path | None, typer.Option(help="Keep the stacks in this file.")] = None,
) -> int:
    """Start, sample, print, stop."""
    recording = Recording("profile-replica")
    with tempfile.TemporaryDirectory() as folder, bench_platform() as platform:
        raw = raw or Path(folder) / "stacks.txt"
        duration_s = _WARM_UP_S + seconds + 10
        with PanelRun(
            platform.http_port,
            rate=rate,
            duration_s=duration_s,
            start="2022-03-01T00:00:00Z",
        ) as panel:
            time.sleep(_WARM_UP_S)
            replica = next(
                one for one in marked_processes(platform.folder.root) if part_of(one) == "replica"
            )
            command = [str(Path(sys.executable).with_name("py-spy")), "record"]
            command += ["--pid", str(replica.pid), "--native", "--full-filenames"]
            command += ["--format", "raw", "--rate", "200", "--output", str(raw)]
            command += ["--duration", str(seconds)]
            subprocess.run(command, check=True, capture_output=True)
            report = panel.report()
        shares = show(raw.read_text())
    print(f"\ndropped while it was sampled: {dropped(report)}")
    recording.figure("dropped", dropped(report))
    recording.table("owners", ("owner", "share, %"), shares.items())
    first, *_ = shares.items()
    recording.finish(f"a replica at {rate} tags/s: {first[0]} has {first[1]:g} % of its time")
    return 0


if __name__ == "__main__":
    run_main(main, __doc__)
