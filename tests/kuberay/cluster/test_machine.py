"""What a machine lacks is said in words that mend it."""

from pathlib import Path

import pytest

from tests.kuberay.cluster import machine


def test_missing_commands_are_named_by_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "PACKAGES", {"no-such-command": "package-of-it"})
    monkeypatch.setattr(machine, "CNI_PLUGINS", tmp_path / "none")

    (line,) = [line for line in machine.missing() if line.startswith("apt-get")]

    assert line.split()[-2:] == ["containernetworking-plugins", "package-of-it"]


@pytest.mark.parametrize(
    ("folders", "files", "roots"),
    [
        (["cpu", "memory", "unified", "other"], [], ["cpu", "memory", "unified"]),
        ([], ["cgroup.controllers"], ["."]),
        ([], [], []),
    ],
    ids=["v1", "v2", "none"],
)
def test_cgroups_of_both_versions(
    tmp_path: Path, folders: list[str], files: list[str], roots: list[str]
) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    for name in files:
        (tmp_path / name).touch()

    assert machine.cgroup_roots(tmp_path) == [tmp_path / root for root in roots]
