"""CI, pre-commit and the Makefile run the same checks."""

import re
from typing import Any, Final

import yaml

from setup.local.folder import CHECKOUT
from tests.docs.repository import make_targets

HOOKS: Final = CHECKOUT / ".pre-commit-config.yaml"
WORKFLOW: Final = CHECKOUT / ".github/workflows/ci.yml"


def hooks() -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load(HOOKS.read_text())["repos"]
    found: list[dict[str, Any]] = repository["hooks"]
    return found


def test_the_hosted_ci_runs_what_ci_runs_elsewhere() -> None:
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if ".ci/run" in step.get("run", "")] == ["bash .ci/run"]


def test_ci_runs_targets_that_are_there() -> None:
    targets = re.findall(r"^make ([a-z-]+)$", (CHECKOUT / ".ci/run").read_text(), re.MULTILINE)
    assert "lint" in targets
    assert "test" in targets
    assert set(targets) <= make_targets()


def test_the_hook_of_shellcheck_takes_every_script_that_make_lint_does() -> None:
    (named,) = re.findall(r"^SHELL_FILES := ([^$]+)", (CHECKOUT / "Makefile").read_text(), re.M)
    (hook,) = (one for one in hooks() if one["id"] == "shellcheck")
    assert not [name for name in named.split() if not re.search(hook["files"], name)]
    plain = re.findall(r"\^([\w./-]+)", hook["files"].replace("\\", ""))
    assert all((CHECKOUT / name).exists() for name in plain)


def test_hooks_run_the_linters_of_make_lint() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    linters = {hook["entry"].split()[0] for hook in hooks() if hook["entry"].startswith(".venv/")}
    for linter in linters - {".venv/bin/python"}:
        assert linter in makefile, f"{linter} is not in the Makefile"
    assert {".venv/bin/ruff", ".venv/bin/shellcheck"} <= linters
    assert any(hook["entry"] == "make lint" for hook in hooks())
