"""Each alert rule, ours and those for Kubernetes, by ``promtool test rules``."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kuberay.render import CHECKOUT
from setup.local.parts.prometheus import ALERTS
from setup.local.tools import find_tool
from tests.metrics.alert_cases import KUBERNETES, PLATFORM, Case, Figures

OPERATORS = CHECKOUT / "kuberay" / "components" / "monitoring" / "alerts.yaml"
STEP = "15s"

Rules = dict[str, Any]


def groups(path: Path) -> Rules:
    """Convert either kind to a Prometheus rules file."""
    content = yaml.safe_load(path.read_text())
    rules: Rules = content.get("spec", content)
    return rules


def by_name(path: Path) -> dict[str, Rules]:
    return {rule["alert"]: rule for group in groups(path)["groups"] for rule in group["rules"]}


CASES = [
    *((ALERTS, name, case) for name, case in PLATFORM.items()),
    *((OPERATORS, name, case) for name, case in KUBERNETES.items()),
]


def expected(rule: Rules, labels: Mapping[str, str]) -> Rules:
    def value(match: re.Match[str]) -> str:
        return labels[match[1]]

    return {
        "exp_labels": {**rule["labels"], **labels},
        "exp_annotations": {
            name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", value, text)
            for name, text in rule["annotations"].items()
        },
    }


def promtool(rules: Path, name: str, case: Case, folder: Path) -> subprocess.CompletedProcess[str]:
    """A test file for promtool with all parts of a case."""

    def test(figures: Figures, alerts: list[Rules]) -> Rules:
        return {
            "interval": STEP,
            "input_series": [{"series": s, "values": v} for s, v in figures.items()],
            "alert_rule_test": [{"eval_time": case.at, "alertname": name, "exp_alerts": alerts}],
        }

    rule = by_name(rules)[name]
    (folder / "rules.yaml").write_text(yaml.safe_dump(groups(rules)))
    content = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": STEP,
        "tests": [
            *(test(one, [expected(rule, case.labels)]) for one in (case.fires, *case.also)),
            test(case.quiet, []),
        ],
    }
    (folder / "tests.yaml").write_text(yaml.safe_dump(content))
    tool = find_tool("promtool", "prometheus")
    return subprocess.run(
        (tool, "test", "rules", "tests.yaml"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("rules", "name", "case"), CASES, ids=[name for _, name, _ in CASES])
def test_alert(rules: Path, name: str, case: Case, tmp_path: Path) -> None:
    done = promtool(rules, name, case, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    assert set(by_name(ALERTS)) == set(PLATFORM)
    assert set(by_name(OPERATORS)) == set(KUBERNETES)


def test_a_case_can_fail(tmp_path: Path) -> None:
    case = PLATFORM["MysqlDown"]

    done = promtool(ALERTS, "MysqlDown", Case(case.quiet, case.fires), tmp_path)

    assert done.returncode == 1
    assert done.stderr.count("FAILED") + done.stdout.count("FAILED") >= 1


def test_idle_profiles_that_are_not_applied_are_behind(tmp_path: Path) -> None:
    """A shard that failed with the last tags of the day."""
    case = PLATFORM["ProfilesBehind"]
    idle = {name: "1500x60" for name in case.fires}

    lagging = {n: ("1x60" if "lag" in n else v) for n, v in idle.items()}
    done = promtool(
        ALERTS,
        "ProfilesBehind",
        Case(lagging, {n: ("0x60" if "lag" in n else v) for n, v in idle.items()}, case.labels),
        tmp_path,
    )

    assert done.returncode == 0, done.stdout + done.stderr
