"""Prometheus with Ray's targets and our alert rules: Debian's package, as a process of ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from setup.local.folder import CHECKOUT, RunFolder
from setup.local.http_get import fetch
from setup.local.parts.part import Kind
from setup.local.ports import HOST
from setup.local.supervision import Program
from setup.local.tools import find_tool

ALERTS: Final = CHECKOUT / "setup" / "monitoring" / "alerts.yaml"


@dataclass(frozen=True)
class Prometheus:
    """One server; it watches this instance only."""

    kind: ClassVar = Kind.PROMETHEUS
    folder: RunFolder
    port: int
    targets: Path
    """Where Ray writes what there is to scrape, in the format of ``file_sd_configs``."""
    interval_s: int = 10
    """Between two scrapes; Ray's agent has new figures every 10 s."""
    alert_after: str = ""
    """In the place of every rule's own ``for``, for tests that cannot wait."""

    @property
    def name(self) -> str:
        """``prometheus``: there is one."""
        return "prometheus"

    @property
    def ports(self) -> dict[str, int]:
        """The API's, and the page's."""
        return {"prometheus": self.port}

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self.port}"

    def files(self) -> dict[Path, str]:
        """Its settings and the rules."""
        settings = {
            "global": {
                "scrape_interval": f"{self.interval_s}s",
                "evaluation_interval": f"{self.interval_s}s",
            },
            "rule_files": [str(self._rules_file)],
            "scrape_configs": [
                {
                    "job_name": "ray",
                    "file_sd_configs": [
                        {"files": [str(self.targets)], "refresh_interval": "10s"},
                    ],
                }
            ],
        }
        return {
            self._settings_file: yaml.safe_dump(settings, sort_keys=False),
            self._rules_file: self._rules(),
        }

    def prepare(self) -> None:
        """Its data folder; MissingToolError when the package is not there."""
        find_tool("prometheus", "prometheus")
        self.folder.data(self.name).mkdir(exist_ok=True)

    def program(self) -> Program:
        """Loopback only; a signal HUP makes it read its files again."""
        return Program(
            self.name,
            (
                "prometheus",
                f"--config.file={self._settings_file}",
                f"--storage.tsdb.path={self.folder.data(self.name)}",
                "--storage.tsdb.retention.time=7d",
                "--storage.tsdb.retention.size=1GB",
                f"--web.listen-address={HOST}:{self.port}",
            ),
        )

    def problem(self) -> str | None:
        """It is ready, and has read its rules."""
        try:
            fetch(f"{self.url}/-/ready")
        except OSError as error:
            return f"does not answer ({error})"
        return None

    @property
    def _settings_file(self) -> Path:
        return self.folder.conf / "prometheus.yml"

    @property
    def _rules_file(self) -> Path:
        return self.folder.conf / "alerts.yaml"

    def _rules(self) -> str:
        text = ALERTS.read_text()
        if not self.alert_after:
            return text
        rules: dict[str, Any] = yaml.safe_load(text)
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule["for"] = self.alert_after
        return yaml.safe_dump(rules, sort_keys=False)
