"""The contents of the repository: files, make targets, modules, settings."""

import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from setup.docs.configuration import CLASSES
from setup.local.folder import CHECKOUT

NOTES: Final = Path("docs/notes")
"""History: links must work, but paths and commands may be outdated."""


@lru_cache(maxsize=1)
def files() -> frozenset[str]:
    """Existing tracked files, relative to the checkout."""
    command = ("git", "-C", str(CHECKOUT), "ls-files")
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return frozenset(name for name in listed if name and (CHECKOUT / name).exists())


@lru_cache(maxsize=1)
def folders() -> frozenset[str]:
    """All folders with tracked files."""
    return frozenset(str(parent) for name in files() for parent in Path(name).parents)


def documents() -> list[str]:
    """Markdown files."""
    return sorted(name for name in files() if name.endswith(".md"))


def living_documents() -> list[str]:
    """Documents about the current code."""
    return [name for name in documents() if NOTES not in Path(name).parents]


def sources() -> list[str]:
    """Text files that may refer to a document."""
    endings = (".py", ".sh", ".yaml", ".yml", ".toml", ".cnf", ".conf", ".env", ".properties")
    others = ("Makefile", "requirements.txt", "setup/local/staggered_start", "kuberay/Dockerfile")
    return sorted(name for name in files() if name.endswith(endings) or name in others)


@lru_cache(maxsize=1)
def make_targets() -> frozenset[str]:
    """Targets of the Makefile."""
    text = (CHECKOUT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


@lru_cache(maxsize=1)
def make_variables() -> frozenset[str]:
    """Variables read by the Makefile and by what it runs."""
    text = (CHECKOUT / "Makefile").read_text()
    found = re.findall(r"^([A-Z_]+) *\?=|\$[({]([A-Z_]+)[:)}]|\$\$\{([A-Z_]+)", text, re.MULTILINE)
    # Read by setup.local itself.
    return frozenset(name for names in found for name in names if name) | {"HTTP_PORT"}


def is_module(name: str) -> bool:
    """Whether ``python -m NAME`` is a module of this repository."""
    path = name.replace(".", "/")
    return f"{path}.py" in files() or f"{path}/__main__.py" in files()


def our_packages() -> Iterator[str]:
    """Top-level folders with Python code."""
    yield from sorted({name.split("/")[0] for name in files() if re.match(r"\w+/.*\.py$", name)})


@lru_cache(maxsize=1)
def variables() -> frozenset[str]:
    """Environment variables of all settings."""
    return frozenset(
        f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        for _, kind, _ in CLASSES
        for name in kind.model_fields
    )
