"""The schema of a result file."""

from pathlib import Path
from typing import Literal

import msgspec


class Machine(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The machine of a run. Loops: shortest and longest of some (`tests.results.machine`)."""

    cores: int
    memory_gib: float
    loop_before_s: tuple[float, float]
    loop_after_s: tuple[float, float]


class Bound(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A bound of a figure, and whether it was kept."""

    figure: str
    value: float
    at_most: float | None = None
    at_least: float | None = None
    kept: bool

    def missed_text(self) -> str:
        """Text about a missed bound; empty if it was kept."""
        limit = f"at most {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"
        return f"{self.figure} {self.value:g} ({limit})"


class Table(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """As documents show it."""

    columns: list[str]
    rows: list[list[str]]

    def __post_init__(self) -> None:
        """Raise ValueError for a row of another length."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells under {len(self.columns)} columns: {row}")

    def markdown(self) -> str:
        """The table as Markdown, without a final line break."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


class Result(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The result of a run; fields are explained in docs/results/README.md."""

    name: str
    command: str
    commit: str
    started: str
    machine: Machine
    headline: str
    figures: dict[str, float]
    bounds: list[Bound]
    tables: dict[str, Table]
    verdict: Literal["kept", "missed"]
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a verdict that contradicts the bounds."""
        if (self.verdict == "kept") != all(bound.kept for bound in self.bounds):
            raise ValueError(f"{self.name}: the bounds say otherwise than the verdict")

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Read a file; ValueError if it does not follow the schema."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path.name}: {error}") from None

    def save(self, path: Path) -> None:
        """Replace the file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        new.replace(path)
