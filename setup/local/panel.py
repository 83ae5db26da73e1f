"""Runs the Web Panel against an instance; its event time starts after the stored tags."""

import os
import subprocess
from collections.abc import Sequence

from setup.local.errors import SetupError
from setup.local.machine_load import Usage, report, usable_cores
from setup.local.platform import Platform
from setup.local.ports import HOST
from setup.local.start_time import start_time
from setup.local.status import partition_statuses


def run_panel(platform: Platform, command: Sequence[str]) -> int:
    """Run ``command`` with host, port and start time added; its exit status.

    Prints the machine's load after it.

    SetupError when the platform cannot say what it holds, for then any start may be wrong.
    """
    try:
        statuses = partition_statuses(platform)
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(
            f"{platform.ray.url} does not answer ({error}): `make up` first"
        ) from error
    silent = [status for status in statuses if status.get("offset") is None]
    if silent:
        raise SetupError(f"partition {silent[0].get('partition')} is not up: see `make status`")
    start = start_time([s["watermark"] for s in statuses if s.get("watermark")])
    address = ("--host", HOST, "--port", str(platform.http_port))
    before = Usage.now(platform.folder.root)
    token = platform.settings().api_token.get_secret_value()
    done = subprocess.run(
        (*command, *address, *(("--start", start) if start else ())),
        env={**os.environ, **({"TAGS_API_TOKEN": token} if token else {})},
        check=False,
    )
    used = Usage.now(platform.folder.root).since(before)
    for line in report(used, usable_cores(), dropped=done.returncode != 0):
        print(line, flush=True)
    return done.returncode
