"""Picture and result of a soak: drawing takes matplotlib, which takes seconds to import."""

from pathlib import Path

import pytest

from tests.results.recording import FOLDER_VARIABLE, Recording
from tests.results.render import load_all
from tests.soak.judge import judge
from tests.soak.outcome import record
from tests.soak.picture import draw
from tests.soak.plan import FLOOD
from tests.soak.results import Event, Soak
from tests.unit.test_soak_judging import GOOD_EVENTS, GOOD_LEG, sample


def test_a_picture_has_every_panel(tmp_path: Path) -> None:
    soak = Soak(about={}, next_start_ms=0, samples=[sample(minute) for minute in range(5)])
    soak.events.append(Event(70.0, "deploy"))
    soak.save(tmp_path / "soak.json")
    loaded = Soak.load(tmp_path / "soak.json")
    assert loaded == soak
    draw(loaded, tmp_path / "soak.svg")
    assert (tmp_path / "soak.svg").read_text().startswith("<?xml")


def test_a_finished_soak_becomes_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    soak = Soak(
        about={"stack": "dev", "rate": 200.0},
        next_start_ms=0,
        samples=[sample(minute) for minute in range(150)],
        legs=[GOOD_LEG],
        events=list(GOOD_EVENTS),
    )
    soak.findings = dict(judge(soak, [FLOOD, "deploy"]))
    assert record(soak, Recording("soak-dev", additions=10))
    result = load_all(tmp_path)["soak-dev"]
    assert result.verdict == "kept"
    assert "149 minutes at 200 tags/s on dev" in result.headline
    assert set(result.tables) == {"memory", "steps", "disk"}

    soak.findings = dict(judge(soak, [FLOOD, "deploy", "rebuild profiles"]))
    assert not record(soak, Recording("soak-dev", additions=10))
    assert "rebuild profiles: not done" in load_all(tmp_path)["soak-dev"].note
