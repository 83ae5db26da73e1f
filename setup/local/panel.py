"""Runs the Web Panel against an instance: event time goes on after what is stored."""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from setup.local.errors import SetupError
from setup.local.platform import Platform
from setup.local.ports import HOST
from setup.local.status import partition_statuses


def start_time(watermarks: Sequence[str]) -> str | None:
    """Event time of the first tag: the whole minute after the newest watermark; None if none.

    The same stream sent twice into kept stores is wrong by construction, and a minute that holds
    older tags as well would be counted wrong: so never before, and never within, what is there.
    """
    if not watermarks:
        return None
    newest = max(_parse(watermark) for watermark in watermarks)
    minute = newest.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return minute.strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def run_panel(platform: Platform, command: Sequence[str]) -> int:
    """Run ``command`` with host, port and start time added; its exit status.

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
    return subprocess.run(
        (*command, *address, *(("--start", start) if start else ())), check=False
    ).returncode
