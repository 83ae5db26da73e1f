"""Number and length of the generated histories."""

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

STEPS: Final = int(os.environ.get("TAGS_TEST_STEPS", "16"))
HISTORIES: Final = int(os.environ.get("TAGS_TEST_HISTORIES", "100"))

BY_CHANCE: Final = "TAGS_TEST_HISTORIES" in os.environ
"""Random histories if a number is given by environment; in CI the same ones each time."""


def histories(count: int, *, shrink: bool = True, by_chance: bool = BY_CHANCE) -> settings:
    """Settings of a machine. ``by_chance``: different histories each time."""
    return settings(
        max_examples=count,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not by_chance,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
