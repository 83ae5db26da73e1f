"""Functions as command lines."""

from typing import Annotated

import pytest
import typer

from setup.command_line import run_main

ABOUT = """What it does, on a line
and another.

* an item
"""


def outcome(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, fails: type[BaseException] | None = None
) -> int:
    def main(count: Annotated[int, typer.Option(min=1)] = 7) -> int:
        if fails is not None:
            raise fails
        if count == 13:
            raise typer.BadParameter("--count must not be 13")
        return count

    monkeypatch.setattr("sys.argv", ["program", *arguments])
    with pytest.raises(SystemExit) as raised:
        run_main(main, ABOUT)
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_the_status_is_what_the_function_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(monkeypatch) == 7
    assert outcome(monkeypatch, "--count", "3") == 3


@pytest.mark.parametrize("bad", ["0", "x", "13"])
def test_bad_arguments_are_2_and_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    assert outcome(monkeypatch, "--count", bad) == 2
    assert "--count" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(monkeypatch, fails=KeyboardInterrupt) == 130


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> int:
        raise RuntimeError("unexpected")

    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(RuntimeError, match="unexpected"):
        run_main(main, None)


def test_help_has_paragraphs_and_lists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, "--help") == 0
    text = capsys.readouterr().out
    assert "What it does, on a line and another." in text
    assert "* an item" in text
