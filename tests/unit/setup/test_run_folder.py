"""The paths of an instance: short enough for sockets, and plain enough for a shell."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from setup.local.folder import RunFolder
from setup.local.platform import Platform


def folder_of(length: int, tmp_path: Path) -> RunFolder:
    """A run folder whose path has so many characters."""
    stem = f"/tmp/t{os.getpid()}-"
    if length < len(str(tmp_path)) + 2:
        return RunFolder(Path(stem.ljust(length, "x")))
    return RunFolder(tmp_path / ("d" * (length - len(str(tmp_path)) - 1)))


# 28: of a checkout in a folder of 19 characters, and one byte too long for HAProxy.
@pytest.mark.parametrize("length", [20, 27, 28, 29, 90, 150])
def test_no_root_is_too_long_for_a_socket(tmp_path: Path, length: int) -> None:
    folder = folder_of(length, tmp_path)
    assert len(str(folder.root)) == length
    # HAProxy's own limit, with the node's id that Serve puts in.
    assert len(str(folder.short / "h" / ("f" * 56) / "admin.sock")) <= 97
    folder.create()
    try:
        assert folder.sockets.is_dir()
        assert folder.base == folder.root
        assert folder.python == sys.executable
    finally:
        folder.remove_link()
        shutil.rmtree(folder.root)


@pytest.mark.parametrize("name", ["with a space", "x(1)&y", "zażółć"])
def test_a_root_that_a_shell_would_take_apart_gets_a_plain_name(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / name)
    folder.create()
    try:
        for path in (folder.base, folder.short, folder.conf, folder.data("x"), folder.sockets):
            assert re.fullmatch(r"[A-Za-z0-9/._-]+", str(path))
        assert folder.conf.resolve() == folder.root / "conf"
        platform = Platform(folder.root, free=True)
        for path, text in {
            **platform.ray.files(),
            **platform.parts[3].files(),
            **platform.parts[4].files(),
        }.items():
            assert name not in str(path)
            assert name not in text
    finally:
        folder.remove_link()


def test_an_interpreter_with_a_space_in_its_path_is_started_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "a b" / ".venv"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "a b" / ".venv" / "bin" / "python"))
    folder = RunFolder(tmp_path / "run")
    folder.create()
    assert folder.python == str(folder.short / "venv" / "bin" / "python")
    assert (folder.short / "venv").readlink() == tmp_path / "a b" / ".venv"
    folder.remove_link()


def test_a_deep_root_gets_a_short_name_for_its_sockets(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / ("d" * 90))
    folder.create()
    try:
        session = folder.short / "ray" / "session_2026-11-24_20-18-56_123456_1234567"
        assert len(str(session / "sockets" / "plasma_store")) <= 107
        assert folder.sockets.is_dir()
    finally:
        folder.remove_link()
    assert not folder.short.exists()
