"""The version is in several places, which must agree."""

import re
import subprocess
import tomllib

from serve_app.version import VERSION
from setup.local.folder import CHECKOUT

IMAGE = re.compile(r"\buser-tags:(\d+\.\d+\.\d+)\b")


def tracked(*patterns: str) -> list[str]:
    command = ("git", "-C", str(CHECKOUT), "ls-files", "--", *patterns)
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return listed.splitlines()


def test_the_code_has_the_projects_version() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_images_have_it() -> None:
    found = {
        name: set(IMAGE.findall((CHECKOUT / name).read_text()))
        for name in tracked("kuberay", "setup/compose", "tests/**.py")
        if name.endswith((".yaml", ".py", "Dockerfile"))
    }
    named = {name: versions for name, versions in found.items() if versions}
    assert named
    assert {name: versions for name, versions in named.items() if versions != {VERSION}} == {}


def test_it_is_the_newest_of_the_changelog() -> None:
    headings = re.findall(r"(?m)^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text())
    numbered = [heading for heading in headings if heading != "Unreleased"]
    assert numbered[0] == VERSION
