"""Charts of a soak over time, as an SVG next to the result."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("svg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.soak.results import Process, Soak, SoakSample, part_of

_LABELLED: Final = 8
"""Number of lines per chart with a label: the highest ones."""


def summed(sample: SoakSample, figure: Callable[[Process], float]) -> dict[str, float]:
    """A figure per part over time."""
    sums: dict[str, float] = {}
    for name, process in sample.processes.items():
        sums[part_of(name)] = sums.get(part_of(name), 0.0) + figure(process)
    return sums


def draw(soak: Soak, path: Path) -> None:
    """Write the picture, if there are at least two samples."""
    samples = soak.samples
    if len(samples) < 2:
        return
    panels: dict[str, Callable[[SoakSample], Mapping[str, float]]] = {
        "memory (MiB)": lambda s: summed(s, lambda p: p.rss_bytes / 2**20),
        "descriptors": lambda s: summed(s, lambda p: p.descriptors),
        "threads": lambda s: summed(s, lambda p: p.threads),
        "disk (MiB)": lambda s: {name: size / 2**20 for name, size in s.disk_bytes.items()},
        "rows": lambda s: s.rows,
        "table partitions": lambda s: s.table_partitions,
        "names": lambda s: s.names,
        "lag (records)": lambda s: {"all partitions": s.lag or 0},
        "tags' p99 (ms)": lambda s: {"tags": s.p99_ms},
    }
    figure = Figure(figsize=(11, 2.2 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True)
    for axes, (title, values) in zip(all_axes, panels.items(), strict=True):
        _panel(axes, title, samples, values)
        for event in soak.events:
            axes.axvline(event.at_s / 60, color="0.85", linewidth=0.8, zorder=0)
    all_axes[-1].set_xlabel("minutes under load; grey: a fault, a deploy, a rebuild")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Text as text, not as shapes: a third of the size.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "soak"}):
        figure.savefig(path)


def _panel(
    axes: Axes,
    title: str,
    samples: list[SoakSample],
    values: Callable[[SoakSample], Mapping[str, float]],
) -> None:
    lines: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        for name, value in values(sample).items():
            lines.setdefault(name, []).append((sample.at_s / 60, value))
    ranked = sorted(lines, key=lambda name: -max(value for _, value in lines[name]))
    for number, name in enumerate(ranked):
        times, figures = zip(*lines[name], strict=True)
        label = name if number < _LABELLED else None
        axes.plot(times, figures, label=label, linewidth=1)
    axes.set_ylabel(title)
    axes.set_ylim(bottom=0)
    if lines:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="x-small", frameon=False)
