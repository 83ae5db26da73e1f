"""A platform for one benchmark, on free ports, with temporary data."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from setup.local.parts.ray import SERVE_CONFIG
from setup.local.platform import EVERYTHING, Platform
from tests.waiting import wait_for_rest


@contextmanager
def bench_platform(
    kinds: Iterable[str] = EVERYTHING,
    *,
    serve_config: Path = SERVE_CONFIG,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Platform]:
    """Runs parts of these kinds; a complete platform is idle when it is yielded."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Platform(
            Path(folder) / "p",
            free=True,
            serve_config=serve_config,
            extra_environment=environment,
        ) as platform,
    ):
        platform.up(kinds)
        if kinds == EVERYTHING:
            wait_for_rest()
        yield platform
