"""What a verification finds, as a person or a program reads it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Kind = Literal["offset", "aggregates", "rollups", "position", "profile"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the log says."""

    kind: Kind
    where: str
    """Which row or tag."""
    expected: str
    stored: str


@dataclass(slots=True)
class Findings:
    """All of it, and how much was looked at."""

    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    exact: bool = True
    """False where rows may hold tags from outside of the range: they may then be larger."""
    tags: int = 0
    erasures: int = 0
    """Their records: one in each partition."""
    unreadable: int = 0
    rows: int = 0
    """Rows of the range that were compared, of both tables."""
    minutes_dropped: int = 0
    """Of event time in the range, older than what the tables keep (see ``retention``)."""
    profiles: int = 0
    """Cookies and actions that were compared."""
    positions: int = 0
    """Of shards, a lane and Kafka partition each."""
    late: int = 0
    """Tags, or erasures of tags, that Redis lacks and that its positions do not cover yet: late,
    not wrong."""
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def show(findings: Findings, console: Console, most: int) -> None:
    """A line of figures, and a table of at most ``most`` differences; 0 shows all."""
    ranges = ", ".join(
        f"{p}: {s} to {findings.ends[p]}" for p, s in sorted(findings.starts.items())
    )
    console.print(
        f"offsets {ranges}: {findings.tags:,} tags ({findings.unreadable:,} unreadable records, "
        f"{findings.erasures:,} erasures), "
        f"{findings.rows:,} rows {'exactly' if findings.exact else 'at least'}, "
        f"{findings.profiles:,} profiles, {findings.positions:,} positions, "
        f"{findings.seconds:,.1f} s",
        highlight=False,
    )
    if findings.minutes_dropped:
        console.print(f"{findings.minutes_dropped:,} minutes are older than what MySQL keeps")
    if findings.late:
        console.print(
            f"{findings.late:,} tags have yet to be applied or erased, which is not wrong"
        )
    count = len(findings.differences)
    console.print("no difference" if not count else f"{count:,} differences", highlight=False)
    if count:
        shown = findings.differences[: most or None]
        console.print(_table(shown))
        if len(shown) < count:
            console.print(f"… and {count - len(shown):,} more: --show 0 or --json names them all")


def _table(differences: Sequence[Difference]) -> Table:
    table = Table("store", "where", "expected", "stored")
    for found in differences:
        # Names come from outside: nothing in them is markup.
        texts = (found.kind, found.where, found.expected, found.stored)
        table.add_row(*map(escape, texts))
    return table
