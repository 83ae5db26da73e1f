"""The steps of a soak and their times. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

FAULT_EVERY_S: Final = 600.0
FLOOD_AT_S: Final = 180.0
"""Late enough for all names of the stream, early enough for its hour to be kept."""
# Before memory is judged: a new version's processes must get warm, and what a rebuild takes and
# keeps is a step, which in the middle of a slope would look like growth.
_ONCE: Final = (("deploy", 0.1), ("rebuild aggregates", 0.2), ("rebuild profiles", 0.3))

FLOOD: Final = "flood of names"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the plan. ``at_s``: seconds under load, over all legs."""

    at_s: float
    what: str
    """Name of a fault or of a step that happens once."""


def plan(total_s: float, faults: Sequence[str], seed: int) -> list[Step]:
    """All steps in order, the same for the same arguments.

    A fault every `FAULT_EVERY_S`, each once before any repeats. Between them, once each: a flood of
    names, a new version, a rebuild of each view.
    """
    random, steps = Random(f"soak {seed}"), []
    bag: list[str] = []
    at_s = FAULT_EVERY_S
    while faults and at_s < total_s - FAULT_EVERY_S / 2:
        bag = bag or random.sample(list(faults), len(faults))
        steps.append(Step(at_s, bag.pop()))
        at_s += FAULT_EVERY_S
    for what, share in _ONCE:
        # Halfway between two faults, if there are any.
        at_s = total_s * share
        if total_s > 2 * FAULT_EVERY_S:
            at_s = (at_s // FAULT_EVERY_S + 0.5) * FAULT_EVERY_S
        steps.append(Step(at_s, what))
    steps.append(Step(min(FLOOD_AT_S, total_s * 0.2), FLOOD))
    return sorted(steps, key=lambda step: (step.at_s, step.what))


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
