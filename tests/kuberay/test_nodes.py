"""The Ansible playbooks: syntax and ansible-lint."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kuberay.manifests import CHECKOUT
from tests.marks import second_tier

NODES = CHECKOUT / "setup" / "nodes"
PLAYBOOKS = sorted(path.name for path in NODES.glob("*.yml"))


def run(tool: str, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    folder = str(Path(sys.executable).parent)
    found = shutil.which(tool, path=folder) or shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed (ansible-core, ansible-lint)")
    environment = {
        **os.environ,
        "HOME": str(home),
        "ANSIBLE_HOME": str(home / ".ansible"),
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [found, *arguments],
        cwd=NODES,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_playbooks() -> None:
    assert PLAYBOOKS == ["remove-node.yml", "site.yml"]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
@second_tier
def test_syntax(playbook: str, tmp_path: Path) -> None:
    checked = run(
        "ansible-playbook", "--syntax-check", "-i", "inventory.example.ini", playbook, home=tmp_path
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


@second_tier
def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    linted = run(
        "ansible-lint",
        "--offline",
        "--nocolor",
        "--profile",
        "production",
        *PLAYBOOKS,
        home=tmp_path,
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_host_keys_are_checked() -> None:
    configuration = (NODES / "ansible.cfg").read_text()

    assert "host_key_checking = True" in configuration
    assert "StrictHostKeyChecking=no" not in configuration
