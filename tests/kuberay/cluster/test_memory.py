"""Both versions of cgroups say what their pods take."""

from pathlib import Path

import pytest

from tests.kuberay.cluster.memory import working_set


@pytest.mark.parametrize(
    ("folder", "usage", "inactive", "version"),
    [
        ("memory/node", "memory.usage_in_bytes", "total_inactive_file", 1),
        ("node", "memory.current", "inactive_file", 2),
    ],
    ids=["v1", "v2"],
)
def test_what_may_be_taken_back_is_not_counted(
    tmp_path: Path, folder: str, usage: str, inactive: str, version: int
) -> None:
    made = tmp_path / folder
    made.mkdir(parents=True)
    (made / usage).write_text("5000\n")
    (made / "memory.stat").write_text(f"rss 3000\n{inactive} 1200\n")
    if version == 2:
        (tmp_path / "cgroup.controllers").touch()

    assert working_set("node", tmp_path) == 3800
