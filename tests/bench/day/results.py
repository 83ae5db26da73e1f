"""Figures of each hour, kept in a file so that a run can continue; and their table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.bulk.questions import Times

REPORTED_HOURS: Final = (1, 6, 12, 24)
MIB: Final = 1024**2


class Hour(msgspec.Struct, kw_only=True):
    """One hour of event time, possibly incomplete; ``number`` counts from 1."""

    number: int
    end_tags: int
    """Tags in log and tables at its end."""
    tags: int
    """Tags processed in `seconds`."""
    resumed: bool
    """Whether an earlier run had processed some of it; then `tags` is the rest."""
    seconds: float
    """From the first tag sent until all were committed."""
    flush_p50_ms: float
    flush_p99_ms: float
    actor_rss_bytes: int
    """Maximum over the actors."""
    rows: int
    """Rows of ``aggregates`` in this hour."""
    total_rows: int
    """Rows of ``aggregates`` up to this hour."""
    table_bytes: int
    """Bytes of both tables' files, with keys, up to this hour."""
    rest_rows: int
    """Rows in the catch-all partition of ``aggregates``: their hour had no partition in time."""
    queries: list[Times]
    """Queries of ten minutes of this hour; empty for hours that are not reported."""

    @property
    def tags_s(self) -> float:
        """Tags a second."""
        return self.tags / self.seconds

    @property
    def row_bytes(self) -> float:
        """Bytes of both tables per row of ``aggregates``."""
        return self.table_bytes / self.total_rows


class Results(msgspec.Struct):
    """Results of a run; ``hours`` in order."""

    hours: list[Hour]

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read the file; empty if there is none."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls([])

    def save(self, path: Path) -> None:
        """Replace the file."""
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        new.replace(path)


def reported(number: int, last: int) -> bool:
    """Whether the queries of hour ``number`` are measured in a run of ``last`` hours."""
    return number in REPORTED_HOURS or number == last


def growth(hours: Sequence[Hour]) -> dict[str, float]:
    """Ratio of the last hour to the first, by figure; above 1.0 is worse."""
    whole = [hour for hour in hours if not hour.resumed] or hours
    first, last = whole[0], whole[-1]
    ratios = {
        "time a tag": first.tags_s / max(last.tags_s, 1.0),
        "flush p50": last.flush_p50_ms / max(first.flush_p50_ms, 1.0),
        "bytes a row": last.row_bytes / first.row_bytes,
        "actor memory": last.actor_rss_bytes / max(first.actor_rss_bytes, 1),
    }
    if first.queries and last.queries:
        pairs = list(zip(first.queries, last.queries, strict=True))
        ratios["queries p50"] = sum(b.p50_ms for _, b in pairs) / sum(a.p50_ms for a, _ in pairs)
        ratios["queries p99"] = sum(b.p99_ms for _, b in pairs) / sum(a.p99_ms for a, _ in pairs)
    return {name: round(ratio, 2) for name, ratio in ratios.items()}


def table(results: Results) -> list[list[str]]:
    """Table of the reported hours: header and rows; empty if no hour is finished."""
    hours = [hour for hour in results.hours if hour.queries]
    if not hours:
        return []
    rows = {
        "tags/s, sending included": [f"{hour.tags_s:,.0f}" for hour in hours],
        "flush p50 / p99 (ms)": [f"{h.flush_p50_ms:.0f} / {h.flush_p99_ms:.0f}" for h in hours],
        "rows of the hour": [f"{hour.rows:,}" for hour in hours],
        "rows so far": [f"{hour.total_rows:,}" for hour in hours],
        "tables (MiB)": [f"{hour.table_bytes / MIB:,.0f}" for hour in hours],
        "bytes a row": [f"{hour.row_bytes:.0f}" for hour in hours],
        "rows without a partition of their hour": [f"{hour.rest_rows:,}" for hour in hours],
        "actor memory, at most (MiB)": [f"{hour.actor_rss_bytes / MIB:.0f}" for hour in hours],
    }
    for at, one in enumerate(hours[0].queries):
        times = [hour.queries[at] for hour in hours]
        rows[f"query: {one.filters} (p50 / p99 ms)"] = [
            f"{time.p50_ms:.1f} / {time.p99_ms:.1f}" for time in times
        ]
    head = ["", *(f"hour {hour.number}" for hour in hours)]
    return [head, *([name, *cells] for name, cells in rows.items())]


def markdown(results: Results) -> str:
    """The table of the reported hours, and the growth."""
    if not (cells := table(results)):
        return "no hour is finished yet"
    lines = [f"| {' | '.join(row)} |" for row in (cells[0], ["---"] * len(cells[0]), *cells[1:])]
    grown = ", ".join(f"{name} {ratio}" for name, ratio in growth(results.hours).items())
    lines += ["", f"Last hour against the first: {grown}"]
    return "\n".join(lines)
