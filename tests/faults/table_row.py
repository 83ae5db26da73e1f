"""A row of the table, and whether it is within its bounds."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.audit import Findings
from tests.faults.running_load import LoadResult, dropped_since
from tests.results.recording import Recording

COLUMNS: Final = (
    "fault",
    "dropped",
    "5xx (tags)",
    "wrong profiles",
    "wrong aggregates",
    "normal after (s)",
    "all parts healthy after (s)",
    "acknowledged",
    "lost or twice",
    "bounds",
)

INJECTED: Final = ("fault", "times", "normal after (s)", "all parts healthy after (s)", "bounds")
"""Columns of the table of injections."""


@dataclass(frozen=True)
class Injected:
    """When a fault was injected and healed (monotonic s), and how it went."""

    name: str
    dropped_s: float
    injected_s: float
    normal_s: float | None
    whole_s: float
    problem: str | None
    """The last problem of the parts, if they were not healthy by the time-out."""
    broken: tuple[str, ...] = ()
    """Bounds of the fault that were missed, as text."""

    def summary(self) -> str:
        """The outcome in one line."""
        if self.broken:
            return "; ".join(self.broken)
        return f"normal after {self.normal_s:.1f} s, healthy after {self.whole_s:.0f} s"


@dataclass(frozen=True)
class Row:
    """Result of one subscription, with one fault or many."""

    name: str
    counters: dict[str, Any]
    latency_ms: dict[str, Any]
    timeline: dict[str, Any]
    dropped: int
    wrong_profiles: int
    wrong_aggregates: int
    unanswered_aggregates: int
    injected: tuple[Injected, ...]
    findings: Findings
    broken: tuple[str, ...]
    wrong_answers: tuple[Any, ...]
    skipped: str = ""

    @property
    def mistaken(self) -> int:
        """Number of tags that the log lacks, has twice, or should not have."""
        found = self.findings
        return found.lost + found.twice + found.refused_but_stored + found.never_sent

    def cells(self) -> tuple[str, ...]:
        """Of the table, in the order of `COLUMNS`."""
        if self.skipped:
            return (self.name, *("-",) * (len(COLUMNS) - 2), f"skipped: {self.skipped}")
        tags, found = self.counters["tags"], self.findings
        times = [one.normal_s for one in self.injected]
        normal = "never" if None in times else f"{max(t for t in times if t is not None):.1f}"
        return (
            self.name,
            f"{self.dropped} of {sum(self.counters[k]['sent'] for k in ('tags', 'profiles'))}",
            str(tags["status_5xx"]),
            str(self.wrong_profiles + found.profiles_wrong),
            str(self.wrong_aggregates + found.aggregates_wrong),
            normal,
            f"{max(one.whole_s for one in self.injected):.0f}",
            str(found.acknowledged),
            str(self.mistaken),
            "kept" if not self.broken else "; ".join(self.broken),
        )


def make_row(name: str, result: LoadResult, injected: Sequence[Injected], found: Findings) -> Row:
    """Check that no answer is wrong and drops are within the faults' bounds."""
    counters = result.report["counters"]
    first_s = injected[0].injected_s
    dropped = dropped_since(result.samples, first_s)
    load = result.options.rate * (1 + 1 / result.options.tags_per_profile)
    most = round(load * sum(one.dropped_s for one in injected))
    wrong = {
        kind: counters[f"{kind}_answers"]["wrong"] + counters[f"{kind}_answers"]["empty"]
        for kind in ("profile", "aggregate")
    }
    broken = [reason for one in injected for reason in one.broken]
    broken += [f"{count} wrong {kind} answers" for kind, count in wrong.items() if count]
    if dropped > most:
        broken.append(f"{dropped} dropped, at most {most}")
    if found.wrong:
        broken.append(f"the audit found {found.wrong} faults")
    return Row(
        name,
        counters,
        result.report["latency_ms"],
        result.report["timeline"],
        dropped,
        wrong["profile"],
        wrong["aggregate"],
        counters["aggregate_answers"]["unanswered"],
        tuple(injected),
        found,
        tuple(broken),
        tuple(result.report["wrong_answers"][:5]),
    )


def skipped_row(name: str, reason: str) -> Row:
    """Row of a fault that cannot be injected here."""
    return Row(name, {}, {}, {}, 0, 0, 0, 0, (), Findings(), (), (), reason)


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def record(rows: Sequence[Row], recording: Recording, *, rate: float) -> bool:
    """Write the result file of all rows; returns whether every bound was kept.

    Its table has a line per fault; for chaos, which is a single row, a line per kind of injection.
    """
    done = [row for row in rows if not row.skipped]
    sums = {
        "bounds_missed": sum(len(row.broken) for row in done),
        "wrong_profiles": sum(row.wrong_profiles + row.findings.profiles_wrong for row in done),
        "wrong_aggregates": sum(
            row.wrong_aggregates + row.findings.aggregates_wrong for row in done
        ),
        "lost_or_twice": sum(row.mistaken for row in done),
    }
    for name, count in sums.items():
        recording.figure(name, count, at_most=0)
    acknowledged = sum(row.findings.acknowledged for row in done)
    dropped = sum(row.dropped for row in done)
    sent = sum(row.counters[kind]["sent"] for row in done for kind in ("tags", "profiles"))
    injected = [one for row in done for one in row.injected]
    recording.figure("faults", len(injected))
    recording.figure("acknowledged", acknowledged)
    recording.figure("dropped", dropped)
    recording.figure("sent", sent)
    recording.table("rows", COLUMNS, [row.cells() for row in rows])
    recording.table("injected", INJECTED, injected_cells(injected))
    wrong = sums["wrong_profiles"] + sums["wrong_aggregates"]
    return recording.finish(
        f"{len(injected)} faults at {rate:g} tags/s: {wrong} wrong answers, "
        f"{sums['lost_or_twice']} of {acknowledged:,} acknowledged tags lost or doubled, "
        f"{dropped:,} of {sent:,} requests dropped"
    )


def injected_cells(injected: Sequence[Injected]) -> list[tuple[str, ...]]:
    """Rows of `INJECTED`: per fault, how often, and the range of each time."""
    by_name: dict[str, list[Injected]] = {}
    for one in injected:
        by_name.setdefault(one.name, []).append(one)
    rows: list[tuple[str, ...]] = []
    for name, group in sorted(by_name.items()):
        normal = [one.normal_s for one in group if one.normal_s is not None]
        never = "" if len(normal) == len(group) else f"; never: {len(group) - len(normal)}"
        span = f"{min(normal):.1f} to {max(normal):.1f}" if normal else "-"
        missed = "; ".join(reason for one in group for reason in one.broken) or "kept"
        whole = f"{max(one.whole_s for one in group):.0f}"
        rows.append((name, str(len(group)), span + never, whole, missed))
    return rows


def write(rows: Sequence[Row], file: Path, **about: object) -> None:
    """Write all data as JSON, and the table as Markdown next to it."""
    document = {**about, "rows": [asdict(row) for row in rows]}
    file.write_text(json.dumps(document, indent=1) + "\n")
    file.with_suffix(".md").write_text(markdown(rows) + "\n")
