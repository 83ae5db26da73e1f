"""The result file of fault rows."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.audit import Findings
from tests.faults.table_row import Injected, Row, injected_cells, record, skipped_row
from tests.results.recording import FOLDER_VARIABLE, Recording
from tests.results.result import Result

COUNTERS: dict[str, Any] = {
    "tags": {"sent": 100, "status_5xx": 2},
    "profiles": {"sent": 10, "status_5xx": 0},
}


def injected(name: str, normal_s: float | None, *broken: str) -> Injected:
    return Injected(name, 0.0, 0.0, normal_s, 4.0, None, broken)


def row(*injections: Injected, found: Findings | None = None, wrong: int = 0) -> Row:
    broken = tuple(reason for one in injections for reason in one.broken)
    return Row(
        name="a row",
        counters=COUNTERS,
        latency_ms={},
        timeline={},
        dropped=3,
        wrong_profiles=wrong,
        wrong_aggregates=0,
        unanswered_aggregates=0,
        injected=injections,
        findings=found or Findings(acknowledged=97),
        broken=broken,
        wrong_answers=(),
    )


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return Recording("faults-dev", additions=10)


def test_rows_that_kept_their_bounds(recording: Recording, tmp_path: Path) -> None:
    rows = [row(injected("kill", 1.5)), row(injected("stop", 0.0)), skipped_row("disk", "no root")]
    assert record(rows, recording, rate=150)
    written = Result.load(tmp_path / "faults-dev.json")
    assert written.verdict == "kept"
    assert written.figures["sent"] == 220
    assert written.figures["acknowledged"] == 194
    assert written.figures["dropped"] == 6
    assert [cells[0] for cells in written.tables["rows"].rows] == ["a row", "a row", "disk"]


@pytest.mark.parametrize(
    "bad",
    [
        row(injected("kill", 9.0, "kill: normal after 9.0 s, at most 5")),
        row(injected("kill", 0.0), wrong=1),
        row(injected("kill", 0.0), found=Findings(profiles_wrong=1)),
        row(injected("kill", 0.0), found=Findings(aggregates_wrong=1)),
        row(injected("kill", 0.0), found=Findings(lost=1)),
        row(injected("kill", 0.0), found=Findings(twice=1)),
    ],
)
def test_one_bad_row_is_enough(recording: Recording, bad: Row) -> None:
    assert not record([row(injected("stop", 0.0)), bad], recording, rate=150)


def test_injections_are_shown_by_fault() -> None:
    some = [injected("b", 2.0), injected("a", 1.0), injected("b", None, "b: never quiet")]
    assert injected_cells(some) == [
        ("a", "1", "1.0 to 1.0", "4", "kept"),
        ("b", "2", "2.0 to 2.0; never: 1", "4", "b: never quiet"),
    ]
