"""Fills in the settings files of ``setup/local/conf``."""

from pathlib import Path
from string import Template
from typing import Final

CONF: Final = Path(__file__).parent / "conf"


def render(name: str, **values: object) -> str:
    """The template with every ``$name`` replaced; KeyError for one that has no value."""
    return Template((CONF / name).read_text()).substitute(values)
