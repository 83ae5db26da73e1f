"""Variants of the Serve config, for the benchmarks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from serve_app.core.names import CASE12_APP
from setup.local.parts.ray import SERVE_CONFIG


def write_variant(
    file: Path,
    *,
    user_config: Mapping[str, Any] | None = None,
    version: str | None = None,
    without: str = "",
) -> None:
    """Write the product's Serve config to ``file`` with some changes.

    Args:
        file: the ``serve_config`` of the `Platform`.
        user_config: of the deployment ``case12``.
        version: of the code of both applications: a new one replaces every replica.
        without: name of an application to leave out.
    """
    config = yaml.safe_load(SERVE_CONFIG.read_text())
    config["applications"] = [one for one in config["applications"] if one["name"] != without]
    for application in config["applications"]:
        for deployment in application["deployments"] if version is not None else ():
            variables = deployment["ray_actor_options"]["runtime_env"]["env_vars"]
            variables["CODE_VERSION"] = version
        if application["name"] == CASE12_APP and user_config is not None:
            application["deployments"][0]["user_config"] = dict(user_config)
    file.write_text(yaml.safe_dump(config))
