"""The picture of a soak: drawing it takes matplotlib, which takes seconds to import."""

from pathlib import Path

from tests.soak.picture import draw
from tests.soak.results import Event, Soak
from tests.unit.test_soak_judging import sample


def test_a_picture_has_every_panel(tmp_path: Path) -> None:
    soak = Soak(about={}, next_start_ms=0, samples=[sample(minute) for minute in range(5)])
    soak.events.append(Event(70.0, "deploy"))
    soak.save(tmp_path / "soak.json")
    loaded = Soak.load(tmp_path / "soak.json")
    assert loaded == soak
    draw(loaded, tmp_path / "soak.svg")
    assert (tmp_path / "soak.svg").read_text().startswith("<?xml")
