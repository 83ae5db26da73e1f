"""The kernel's setting, on a file that stands for it."""

from pathlib import Path

import pytest

from setup.local.kernel import KEEP, switch_off_autogroups


def switched(setting: Path) -> list[str]:
    said: list[str] = []
    switch_off_autogroups(said.append, setting)
    return said


def test_it_is_switched_off_once_and_said(tmp_path: Path) -> None:
    setting = tmp_path / "sched_autogroup_enabled"
    setting.write_text("1\n")
    assert len(switched(setting)) == 1
    assert setting.read_text() == "0\n"
    assert switched(setting) == []


def test_who_wants_it_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP, "1")
    setting = tmp_path / "sched_autogroup_enabled"
    setting.write_text("1\n")
    assert switched(setting) == []
    assert setting.read_text() == "1\n"


def test_a_kernel_without_it_is_left_alone(tmp_path: Path) -> None:
    assert switched(tmp_path / "sched_autogroup_enabled") == []


def test_who_may_not_is_told_what_to_expect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = tmp_path / "sched_autogroup_enabled"
    setting.write_text("1\n")

    def refuse(*_: object) -> int:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "write_text", refuse)
    (line,) = switched(setting)
    assert "may be late" in line
    assert setting.read_text() == "1\n"
