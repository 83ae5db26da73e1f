"""Records the result of a bench: create it, add figures and tables, finish."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from setup.local.folder import CHECKOUT
from tests.results import machine
from tests.results.result import Bound, Machine, Result, Table

FOLDER: Final = CHECKOUT / "docs/results"
FOLDER_VARIABLE: Final = "RESULTS_FOLDER"
"""Another folder for results, for a run that is not to be kept."""


def folder() -> Path:
    """Of the result files."""
    return Path(os.environ.get(FOLDER_VARIABLE) or FOLDER)


class Recording:
    """The result of a run. Nothing is written before `finish`."""

    def __init__(self, name: str, *, additions: int = machine.ADDITIONS) -> None:
        """Measures the machine's speed for some seconds, so create it before starting anything.

        ``additions``: per loop; fewer for tests.
        """
        self._name = name
        self._additions = additions
        self._started = datetime.now(UTC)
        # As of the start: code may be edited while a bench runs.
        self._commit, self._cores = machine.commit(), machine.cores()
        self._before_s = machine.speed_s(additions)
        self._figures: dict[str, float] = {}
        self._bounds: list[Bound] = []
        self._tables: dict[str, Table] = {}

    def figure(
        self,
        name: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> bool:
        """Record a figure, with its unit in the name; returns whether it is within its bounds.

        Raises:
            ValueError: the name was used before.
        """
        if name in self._figures:
            raise ValueError(f"two figures of the name {name}")
        # The schema accepts numbers only, not true and false.
        value = int(value) if isinstance(value, bool) else value
        self._figures[name] = value
        kept = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        if at_most is not None or at_least is not None:
            self._bounds.append(
                Bound(figure=name, value=value, at_most=at_most, at_least=at_least, kept=kept)
            )
        return kept

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """As documents show it."""
        cells = [[str(cell) for cell in row] for row in rows]
        self._tables[name] = Table(columns=list(columns), rows=cells)

    def finish(self, headline: str, note: str = "") -> bool:
        """Write the file and print its path; returns whether every bound was kept."""
        kept = all(bound.kept for bound in self._bounds)
        result = Result(
            name=self._name,
            command=machine.command(),
            commit=self._commit,
            started=self._started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            machine=Machine(
                cores=self._cores,
                memory_gib=machine.memory_gib(),
                loop_before_s=self._before_s,
                loop_after_s=machine.speed_s(self._additions),
            ),
            headline=headline,
            figures=self._figures,
            bounds=self._bounds,
            tables=self._tables,
            verdict="kept" if kept else "missed",
            note=note,
        )
        path = folder() / f"{self._name}.json"
        result.save(path)
        print(f"{result.verdict}: {headline}\nresult: {path}", flush=True)
        return kept
