"""Processor time of a request by part, compared with two baselines of the same run.

`python -m tests.bench.processor_time [--rates 100,250,500,750,1000] [--duration 25]` runs a Web
Panel subscription at each rate against

* the platform as it is,
* plain uvicorn with as many workers instead of Serve: the same application object, stores
  and actors, without HAProxy,
* the stock Serve proxy: the same Serve application without HAProxy and our settings of Serve
  (setup/local/conf/ray.env), at rates up to its limit.

It prints a table for each with milliseconds of processor time per user tag (including a profile
query per ten tags), drops and latency, then the ratios, and the cores that 1,000 tags/s need.
``--json FILE`` keeps the figures. About 8 minutes.

Exit status 1 if anything was answered wrong, or the platform takes more than its budget at 500/s
and above: 1.1 ms per tag in the replicas, 1.8 ms in all but the Web Panel.

``--against REVISION`` compares with another revision instead: both checkouts run in turn, each with
a platform of its own, and what counts are the ratios (``processor-time-against.json``).
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer

from serve_app.core.names import CASE12_APP
from setup.command_line import run_main
from setup.local.folder import CHECKOUT
from setup.local.http_get import fetch
from setup.local.platform import Platform
from setup.local.supervision import clean_environment
from tests.bench._checkout import checkout
from tests.bench._panel import PanelRun, dropped, wrong
from tests.bench._platform import bench_platform
from tests.bench._processes import processor_times
from tests.bench._serve_config import write_variant
from tests.results.recording import Recording

REPLICA_MS: Final = 1.1
ALL_MS: Final = 1.8
RATIOS: Final = {200: 0.85, 1000: 0.8}
"""Bound by tags/s: share of the processor time of the revision before the profile view."""
P50_SOONER_MS: Final = 1.0
BUDGET_FROM: Final = 500
"""Tags/s: below, Ray's idle processor time dominates."""
WORKERS: Final = 3
STOCK_RATES: Final = (50, 100, 250)
STOCK: Final = {
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "",
    "RAY_worker_niceness": "15",
}
"""Serve's defaults, but without access log."""
_WARM_UP_S: Final = 5


@dataclass
class Run:
    """A run of one system at one rate."""

    rate: int
    answered_a_second: float
    """Tags answered 204 in time."""
    dropped: int
    wrong: int
    latency_ms: dict[str, float]
    generator_lag_ms: dict[str, float]
    ms_a_tag: dict[str, float]
    """Milliseconds per tag sent, by part."""
    panel_ms: float

    @property
    def all_ms(self) -> float:
        """Everything but the Web Panel."""
        return sum(self.ms_a_tag.values())


def measure(
    root: Path, port: int, rates: Sequence[int], duration_s: int, workers: int | None = None
) -> list[Run]:
    """A subscription at each rate; ``workers`` is the pid of uvicorn's parent."""

    def times() -> dict[str, float]:
        seconds = processor_times(root)
        if workers is not None:
            parent = psutil.Process(workers)
            used = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
            seconds["replica"] = sum(one.user + one.system for one in used)
        return seconds

    with PanelRun(port, rate=rates[0], duration_s=_WARM_UP_S, start="2022-02-01T00:00:00Z") as warm:
        warm.report()
    runs = []
    for number, rate in enumerate(rates):
        # A day of event time apart, so that runs do not share tags.
        start = f"2022-03-{number + 1:02d}T00:00:00Z"
        before = times()
        with PanelRun(port, rate=rate, duration_s=duration_s, start=start) as panel:
            report = panel.report()
        used = {part: seconds - before[part] for part, seconds in times().items()}
        counters = report["counters"]
        tags = counters["tags"]["sent"]
        runs.append(
            Run(
                rate,
                counters["tags"]["status_2xx"] / counters["elapsed_s"],
                dropped(report),
                wrong(report),
                report["latency_ms"]["user_tags"],
                report["generator_lag_ms"],
                {part: 1000 * seconds / tags for part, seconds in used.items()},
                1000 * report["panel"]["cpu_s"] / tags,
            )
        )
        print(f"  {rate}/s: {runs[-1].all_ms:.2f} ms a tag", file=sys.stderr, flush=True)
    return runs


@contextmanager
def uvicorn(platform: Platform) -> Iterator[tuple[int, int]]:
    """Plain uvicorn on the stores of the platform; yields its port and the parent's pid."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "tests.bench._uvicorn_app:app", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--no-access-log", "--log-level", "warning"]
    # A worker that starts slowly on a busy machine is not dead.
    command += ["--timeout-worker-healthcheck", "60"]
    environment = {**clean_environment(), **platform.environment(), "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(command, env=environment)
    try:
        deadline_s = time.monotonic() + 120
        while True:
            try:
                fetch(f"http://127.0.0.1:{port}/health")
                break
            except OSError:
                assert time.monotonic() < deadline_s, "uvicorn does not answer"
                time.sleep(0.2)
        time.sleep(5)  # one worker answers: the others soon will
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def table(title: str, runs: Sequence[Run]) -> str:
    """Markdown with a column per rate."""
    rows = [
        [f"{title}, tags/s", *(str(run.rate) for run in runs)],
        ["---"] * (len(runs) + 1),
        *(
            [f"{part}, ms a tag", *(f"{run.ms_a_tag[part]:.2f}" for run in runs)]
            for part in runs[0].ms_a_tag
        ),
        ["**all of them**", *(f"**{run.all_ms:.2f}**" for run in runs)],
        ["cores", *(f"{run.all_ms * run.rate / 1000:.2f}" for run in runs)],
        ["Web Panel, ms a tag", *(f"{run.panel_ms:.2f}" for run in runs)],
        ["tags answered in time, a second", *(f"{run.answered_a_second:.0f}" for run in runs)],
        ["dropped requests", *(str(run.dropped) for run in runs)],
        [
            "tags p50 / p99 / max, ms",
            *(
                " / ".join(f"{run.latency_ms[p]:.0f}" for p in ("p50", "p99", "max"))
                for run in runs
            ),
        ],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def ratios(ours: Sequence[Run], baselines: dict[str, Sequence[Run]]) -> str:
    """Markdown with the ratios to each baseline at common rates."""
    lines = [
        "| ours to | tags/s | replica | all | tags answered |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, runs in baselines.items():
        for run in runs:
            for own in ours:
                if own.rate == run.rate:
                    replica = own.ms_a_tag["replica"] / run.ms_a_tag["replica"]
                    answered = own.answered_a_second / max(run.answered_a_second, 1e-9)
                    lines.append(
                        f"| {name} | {run.rate} | {replica:.2f} | {own.all_ms / run.all_ms:.2f} "
                        f"| {answered:.2f} |"
                    )
    return "\n".join(lines)


def record(recording: Recording, systems: dict[str, Sequence[Run]]) -> None:
    """Figures with their budgets, and two tables."""
    ours = systems["ours"]
    for run in ours:
        busy = run.rate >= BUDGET_FROM
        for name, taken, budget in (
            ("replica", run.ms_a_tag["replica"], REPLICA_MS),
            ("all", run.all_ms, ALL_MS),
        ):
            figure = f"{name}_ms_{run.rate}"
            recording.figure(figure, round(taken, 3), at_most=budget if busy else None)
    wrong_answers = sum(run.wrong for runs in systems.values() for run in runs)
    recording.figure("wrong", wrong_answers, at_most=0)
    named = [(name, run) for name, runs in systems.items() for run in runs]
    parts = [
        (part, *(f"{run.ms_a_tag[part]:.2f}" for _, run in named)) for part in ours[0].ms_a_tag
    ]
    recording.table(
        "parts",
        ("ms per tag", *(f"{name}, {run.rate:,}/s" for name, run in named)),
        [
            *parts,
            ("**all of the platform**", *(f"**{run.all_ms:.2f}**" for _, run in named)),
            ("Web Panel", *(f"{run.panel_ms:.2f}" for _, run in named)),
            ("dropped requests", *(str(run.dropped) for _, run in named)),
            (
                "tags p50 / p99, ms",
                *(f"{r.latency_ms['p50']:.0f} / {r.latency_ms['p99']:.0f}" for _, r in named),
            ),
        ],
    )
    rows = []
    for name, run in named:
        for own in ours:
            if own.rate == run.rate and name != "ours":
                replica = own.ms_a_tag["replica"] / run.ms_a_tag["replica"]
                every = own.all_ms / run.all_ms
                recording.figure(f"all_to_{name.split()[0].lower()}_{run.rate}", round(every, 2))
                rows.append((name, run.rate, f"{replica:.2f}", f"{every:.2f}"))
    recording.table("ratios", ("ours to", "tags/s", "replica", "all"), rows)


def one_checkout(folder: Path, rates: str, duration_s: int) -> list[Run]:
    """Run the bench of the checkout in ``folder`` on its own platform."""
    with tempfile.TemporaryDirectory() as parent:
        file = Path(parent) / "figures.json"
        command = [sys.executable, "-m", "tests.bench.processor_time", "--only-ours"]
        command += ["--rates", rates, "--duration", str(duration_s), "--json", str(file)]
        environment = {**os.environ, "RESULTS_FOLDER": parent}
        # Its exit status is about bounds, which do not matter here.
        subprocess.run(command, cwd=folder, env=environment, stdout=sys.stderr, check=False)
        return [Run(**run) for run in json.loads(file.read_text())["ours"]]


def compare(revision: str, rates: str, duration_s: int, rounds: int) -> int:
    """Run both revisions in turn; prints and records medians and ratios."""
    recording = Recording("processor-time-against")
    sides: dict[str, list[list[Run]]] = {"before": [], "after": []}
    with checkout(revision) as other:
        for number in range(rounds):
            for side, folder in (("before", other), ("after", CHECKOUT)):
                print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
                sides[side].append(one_checkout(folder, rates, duration_s))
    rows = []
    for at, rate in enumerate(map(int, rates.split(","))):
        runs = {side: [one[at] for one in of_side] for side, of_side in sides.items()}
        all_ms = {side: statistics.median(run.all_ms for run in runs[side]) for side in runs}
        p50_ms = {
            side: statistics.median(run.latency_ms["p50"] for run in runs[side]) for side in runs
        }
        ratio = all_ms["after"] / all_ms["before"]
        sooner_ms = p50_ms["before"] - p50_ms["after"]
        recording.figure(f"ratio_{rate}", round(ratio, 3), at_most=RATIOS.get(rate))
        recording.figure(f"p50_sooner_ms_{rate}", round(sooner_ms, 2), at_least=P50_SOONER_MS)
        dropped_ = {side: sum(run.dropped for run in runs[side]) for side in runs}
        rows.append(
            (
                f"{rate:,}",
                f"{all_ms['before']:.2f}",
                f"{all_ms['after']:.2f}",
                f"{ratio:.2f}",
                f"{p50_ms['before']:.1f}",
                f"{p50_ms['after']:.1f}",
                dropped_["before"],
                dropped_["after"],
            )
        )
    wrong_answers = sum(run.wrong for runs in sides["after"] for run in runs)
    recording.figure("wrong", wrong_answers, at_most=0)
    columns = ("tags/s", "before, ms a tag", "after", "ratio", "p50 before, ms", "after")
    recording.table("ratios", (*columns, "dropped before", "after"), rows)
    for row in (columns, *rows):
        print("\t".join(map(str, row)))
    kept = recording.finish(
        "; ".join(f"{row[3]} of the processor time of {revision[:7]} at {row[0]}/s" for row in rows)
    )
    return 0 if kept else 1


def main(
    rates: Annotated[str, typer.Option(help="User tags per second.")] = "100,250,500,750,1000",
    duration: Annotated[int, typer.Option(help="Seconds at each rate.")] = 25,
    only_ours: Annotated[
        bool, typer.Option("--only-ours", help="Leave the baselines out.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Compare with another revision.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Of a comparison.")] = 2,
) -> int:
    """Measure all three systems and print."""
    if against:
        return compare(against, rates, duration, rounds)
    own_rates = [int(rate) for rate in rates.split(",")]
    recording = Recording("processor-time")
    systems: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "serve_config.yaml"
        write_variant(file)
        with bench_platform(serve_config=file) as ours:
            systems["ours"] = measure(ours.folder.root, ours.http_port, own_rates, duration)
        if not only_ours:
            with bench_platform(serve_config=file, environment=STOCK) as stock:
                systems["stock Serve"] = measure(
                    stock.folder.root, stock.http_port, STOCK_RATES, duration
                )
            write_variant(file, without=CASE12_APP)
            with bench_platform(serve_config=file) as stores, uvicorn(stores) as (port, pid):
                systems["uvicorn"] = measure(stores.folder.root, port, own_rates, duration, pid)
    print("\n\n".join(table(name, runs) for name, runs in systems.items()))
    baselines: dict[str, Sequence[Run]] = {k: v for k, v in systems.items() if k != "ours"}
    if baselines:
        print(f"\n{ratios(systems['ours'], baselines)}")
    last = systems["ours"][-1]
    print(f"\ncores that {last.rate} tags/s need: {last.all_ms * last.rate / 1000:.2f}")
    if json_file:
        content: dict[str, Any] = {n: [asdict(r) for r in rs] for n, rs in systems.items()}
        json_file.write_text(json.dumps(content, indent=1) + "\n")
    record(recording, dict(systems))
    kept = recording.finish(
        f"{last.all_ms:.2f} ms of processor time per tag at {last.rate:,}/s, "
        f"{last.all_ms * last.rate / 1000:.2f} cores"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
