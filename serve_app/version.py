"""What runs here: the project's version, its commit, and the versions of what it stands on."""

import asyncio
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from serve_app.health import Check, ask

VERSION: Final = "0.1.0"
"""Of the project; the same as in pyproject.toml, which is not there where this runs."""

_CHECKOUT: Final = Path(__file__).resolve().parents[1]


async def report(stores: Mapping[str, Check]) -> dict[str, Any]:
    """Versions by name; of a store that does not answer, None.

    ``stores`` are asked for theirs. Kafka is not among them: its protocol does not tell.
    """
    answers = {name: await ask(check) for name, check in stores.items()}
    return {
        "version": VERSION,
        "commit": await asyncio.to_thread(commit),
        "code": os.environ.get("CODE_VERSION") or None,
        "python": platform.python_version(),
        "ray": _installed("ray"),
        "stores": {
            name: answer["detail"] if answer["status"] == "ok" else None
            for name, answer in answers.items()
        },
    }


@cache
def commit() -> str | None:
    """The git commit that this process began with; None where nobody knows.

    An image is told when it is built (``TAGS_COMMIT``); a checkout is asked.
    """
    told = os.environ.get("TAGS_COMMIT")
    if told:
        return told
    command = ("git", "-C", str(_CHECKOUT), "rev-parse", "HEAD")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
