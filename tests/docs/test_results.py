"""Results: files follow their schema, and documents show their content."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.results.__main__ import documents
from tests.results.recording import FOLDER, FOLDER_VARIABLE, Recording
from tests.results.render import END, load_all, rendered, wanted
from tests.results.result import Bound, Machine, Result, Table

MACHINE = Machine(cores=2, memory_gib=24.0, loop_before_s=(1.0, 1.1), loop_after_s=(1.0, 1.25))


def result(*, value: float = 1.0, note: str = "") -> Result:
    kept = value <= 2
    return Result(
        name="one",
        command="python -m tests.bench.one",
        commit="0123456",
        started="2026-11-28T10:00:00Z",
        machine=MACHINE,
        headline="one thing",
        figures={"a_ms": value},
        bounds=[Bound(figure="a_ms", value=value, at_most=2, kept=kept)],
        tables={"rows": Table(columns=["a", "b"], rows=[["1", "2"]])},
        verdict="kept" if kept else "missed",
        note=note,
    )


def test_every_file_follows_the_schema() -> None:
    load_all(FOLDER)


@pytest.mark.parametrize("path", documents(), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_document_shows_what_the_files_say(path: Path) -> None:
    text = path.read_text()
    shown = wanted(one.read_text() for one in documents())
    assert rendered(text, load_all(FOLDER), shown) == text, "run `make results`"


def test_a_block_is_replaced_and_all_else_is_kept() -> None:
    document = f"before\n<!-- results: table one rows -->\nold\n{END}\nafter\n"
    text = rendered(document, {"one": result()})
    assert text.startswith("before\n<!-- results: table one rows -->\n\n| a | b |\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "0123456, 2026-11-28; 2 cores, a loop takes 1 to 1.25 s. Bounds: kept." in text
    assert "old" not in text


def test_what_was_missed_is_named() -> None:
    document = f"<!-- results: headlines one two -->\n{END}\n"
    text = rendered(document, {"one": result(value=3)})
    assert "| one | one thing | **missed**: a_ms 3 (at most 2) |" in text
    assert "two" not in text.replace(document.splitlines()[0], "")


def test_a_result_that_is_missing_is_named_once_and_shows_nothing_elsewhere() -> None:
    shows = [
        f"<!-- results: headlines one three -->\n{END}",
        f"<!-- results: table two a -->\n{END}",
    ]
    assert wanted(shows) == {"one", "two", "three"}
    assert [rendered(one, {}) for one in shows] == shows
    names = f"<!-- results: missing -->\n{END}\n"
    assert rendered(names, {"one": result()}, wanted(shows)).splitlines()[2] == "`three`, `two`"
    everything = {name: result() for name in wanted(shows)}
    assert rendered(names, everything, wanted(shows)).splitlines()[2] == "none"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (f"<!-- results: table one other -->\n{END}\n", "no table other, only rows"),
        (f"<!-- results: picture one -->\n{END}\n", "cannot read the marker"),
        ("<!-- results: table one rows -->\n", "does not end"),
    ],
)
def test_a_block_that_nobody_can_fill_is_refused(document: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rendered(document, {"one": result()})


@given(st.text("ab|-# \n`", max_size=40))
def test_rendering_twice_changes_nothing_more(text: str) -> None:
    document = f"{text}\n<!-- results: headlines one -->\n{text}\n{END}\n{text}"
    once = rendered(document, {"one": result()})
    assert rendered(once, {"one": result()}) == once


def test_a_recording_writes_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    recording = Recording("one", additions=10)
    assert recording.figure("a_ms", 3, at_most=3)
    assert not recording.figure("b", 1, at_least=2)
    recording.figure("c", 0.5)
    assert recording.figure("d", True, at_least=1)
    recording.table("rows", ("a", "b"), [(1, "x")])
    assert not recording.finish("one thing")
    written = Result.load(tmp_path / "one.json")
    assert written.verdict == "missed"
    assert written.figures == {"a_ms": 3, "b": 1, "c": 0.5, "d": 1}
    assert [(one.figure, one.kept) for one in written.bounds] == [
        ("a_ms", True),
        ("b", False),
        ("d", True),
    ]
    assert written.tables["rows"].rows == [["1", "x"]]
    assert written.commit


def test_two_figures_of_one_name_are_refused() -> None:
    recording = Recording("one", additions=10)
    recording.figure("a", 1)
    with pytest.raises(ValueError, match="two figures of the name a"):
        recording.figure("a", 2)


def test_a_verdict_that_the_bounds_do_not_bear_out_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    result(value=3).save(path)
    path.write_text(path.read_text().replace('"missed"', '"kept"'))
    with pytest.raises(ValueError, match="the bounds say otherwise"):
        Result.load(path)


def test_a_file_with_another_results_name_is_refused(tmp_path: Path) -> None:
    result().save(tmp_path / "two.json")
    with pytest.raises(ValueError, match=r"two\.json is the result of one"):
        load_all(tmp_path)
