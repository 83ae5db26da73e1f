"""Picture and result of a soak: drawing takes matplotlib, which takes seconds to import."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.results.recording import FOLDER_VARIABLE, Recording
from tests.results.render import load_all
from tests.soak import cli
from tests.soak.judge import judge
from tests.soak.outcome import record
from tests.soak.picture import draw
from tests.soak.plan import FLOOD, Step
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
    assert result.figures["aggregate queries answered right"] == 1_700
    asked = result.figures["aggregate queries asked in quiet minutes"]
    assert asked == result.figures["aggregate queries answered right in quiet minutes"] > 1_000

    soak.findings = dict(judge(soak, [FLOOD, "deploy", "rebuild profiles"]))
    assert not record(soak, Recording("soak-dev", additions=10))
    assert "rebuild profiles: not done" in load_all(tmp_path)["soak-dev"].note


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a soak that was never judged."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "results"))
    monkeypatch.setattr(cli, "Recording", partial(Recording, additions=10))
    steps = [Step(180.0, FLOOD), Step(900.0, "deploy")]
    monkeypatch.setattr(cli, "steps_of", lambda about: steps)
    soak = Soak(
        about={"stack": "dev", "rate": 200.0, "hours": 2.5, "step_ms": 1_000.0, "seed": 1},
        next_start_ms=0,
        samples=[sample(minute) for minute in range(150)],
        legs=[GOOD_LEG],
        events=list(GOOD_EVENTS),
    )
    soak.save(tmp_path / "soak.json")
    return tmp_path / "soak.json"


def main(file: Path) -> int:
    return cli.main(stack="dev", judge_only=True, out=file)


def test_what_was_saved_is_judged_as_often_as_one_likes(saved: Path) -> None:
    for _ in range(2):
        assert main(saved) == 0
        soak = Soak.load(saved)
        assert soak
        assert set(soak.findings.values()) == {""}
    results = saved.parent / "results"
    assert "Judged later" in load_all(results)["soak-dev"].note
    assert (results / "soak-dev.svg").exists()


def test_a_soak_with_time_left_is_judged_and_can_go_on(saved: Path) -> None:
    soak = Soak.load(saved)
    assert soak
    soak.about["hours"] = 3.0
    soak.save(saved)
    assert main(saved) == 0
    assert Soak.load(saved) == soak


def test_a_mistake_in_judging_loses_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any, **__: Any) -> bool:
        raise ZeroDivisionError

    before = saved.read_bytes()
    with monkeypatch.context() as changed:
        changed.setattr(cli, "record", mistaken)
        with pytest.raises(ZeroDivisionError):
            main(saved)
    assert saved.read_bytes() == before
    assert main(saved) == 0


def test_without_a_file_there_is_nothing_to_judge(saved: Path) -> None:
    with pytest.raises(SystemExit, match="no soak to judge"):
        main(saved.with_name("other.json"))
