"""What Ray's agent exports, read as Prometheus reads it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from setup.local.http_get import fetch
from setup.local.platform import Platform
from setup.local.ports import HOST

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Series:
    name: str
    labels: Mapping[str, str]
    value: float


def scrape(platform: Platform) -> list[Series]:
    """Every series of the node's agent (text format of Prometheus)."""
    text = fetch(f"http://{HOST}:{platform.ports['ray_metrics']}/metrics", timeout_s=10).decode()
    found = filter(None, map(_LINE.match, text.splitlines()))
    return [
        Series(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])) for match in found
    ]


def total(series: list[Series], name: str, **labels: str) -> float:
    """Sum over all series of a name that have these labels."""
    return sum(
        one.value
        for one in series
        if one.name == name and labels.items() <= dict(one.labels).items()
    )
