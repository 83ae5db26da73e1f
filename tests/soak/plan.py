"""The steps of a soak and their times. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

FAULT_EVERY_S: Final = 600.0
FLOOD_AT_S: Final = 180.0
"""Late enough for all names of the stream."""
_FLOOD_SHARE: Final = 0.35
"""Of the day that is kept: the flood's tags are of its beginning, and must outlast the flood."""
_FLOOD_TAKES_S: Final = 120.0
KEPT_MS: Final = 29 * 3_600_000
"""Event time after which as much is dropped as is added."""
MAX_NAMES: Final = 5_000
"""Limit per dimension, low enough for a short flood to exceed it."""
# Before memory is judged: a new version's processes must get warm, and what a rebuild takes and
# keeps is a step, which in the middle of a slope would look like growth.
_ONCE: Final = (("deploy", 0.1), ("rebuild aggregates", 0.2), ("rebuild profiles", 0.3))

FLOOD: Final = "flood of names"
NEW_NAME: Final = "a new name"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the plan. ``at_s``: seconds under load, over all legs."""

    at_s: float
    what: str
    """Name of a fault or of a step that happens once."""


def plan(total_s: float, faults: Sequence[str], seed: int, kept_s: float) -> list[Step]:
    """All steps in order, the same for the same arguments.

    A fault every `FAULT_EVERY_S`, each once before any repeats. Between them, once each: a flood of
    names, a name after it, a new version, a rebuild of each view. ``kept_s``: seconds of the clock
    in which `KEPT_MS` of event time pass; no name after the flood if they take too long.
    """
    random, steps = Random(f"soak {seed}"), []
    bag: list[str] = []
    at_s = FAULT_EVERY_S
    while faults and at_s < total_s - FAULT_EVERY_S / 2:
        bag = bag or random.sample(list(faults), len(faults))
        steps.append(Step(at_s, bag.pop()))
        at_s += FAULT_EVERY_S
    for what, share in _ONCE:
        steps.append(Step(_between_faults(total_s * share, total_s), what))
    flood_s = min(FLOOD_AT_S, total_s * 0.2, kept_s * _FLOOD_SHARE)
    steps.append(Step(flood_s, FLOOD))
    gone_s = flood_s + _FLOOD_TAKES_S + kept_s
    after_s = _between_faults(gone_s, total_s)
    if after_s < gone_s:
        after_s += FAULT_EVERY_S
    if after_s < total_s - FAULT_EVERY_S / 10:
        steps.append(Step(after_s, NEW_NAME))
    return sorted(steps, key=lambda step: (step.at_s, step.what))


def _between_faults(at_s: float, total_s: float) -> float:
    """Halfway between the two faults around a time, if there are any."""
    if total_s <= 2 * FAULT_EVERY_S:
        return at_s
    return (at_s // FAULT_EVERY_S + 0.5) * FAULT_EVERY_S


def due(steps: Sequence[Step], done: Sequence[str], now_s: float) -> Step | None:
    """The first step that is due and not done; ``done``: names of the steps done, in order.

    A step counts as done once begun, as it may itself have ended its leg.
    """
    left = list(done)
    for step in steps:
        if step.what in left:
            left.remove(step.what)
        elif step.at_s <= now_s:
            return step
    return None
