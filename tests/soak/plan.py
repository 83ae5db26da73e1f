"""What is done to the platform in the course of a soak, and when. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

FAULT_EVERY_S: Final = 600.0
FLOOD_AT_S: Final = 180.0
"""By then the names of the stream are there; later, its hour would no longer be kept."""
_ONCE: Final = (("deploy", 0.4), ("rebuild aggregates", 0.6), ("rebuild profiles", 0.8))

FLOOD: Final = "flood of names"


@dataclass(frozen=True, slots=True)
class Step:
    """``at_s`` counts the seconds under load, over all legs."""

    at_s: float
    what: str
    """The name of a fault, or one of the things that are done once."""


def plan(total_s: float, faults: Sequence[str], seed: int) -> list[Step]:
    """Every step of a soak, in order: the same for the same arguments, whatever was interrupted.

    A fault every `FAULT_EVERY_S`, each once before any comes again; a flood of names, a new version
    and a rebuild of each view once, between them.
    """
    random, steps = Random(f"soak {seed}"), []
    bag: list[str] = []
    at_s = FAULT_EVERY_S
    while faults and at_s < total_s - FAULT_EVERY_S / 2:
        bag = bag or random.sample(list(faults), len(faults))
        steps.append(Step(at_s, bag.pop()))
        at_s += FAULT_EVERY_S
    for what, share in _ONCE:
        # Halfway between two faults, where there are any.
        at_s = total_s * share
        if total_s > 2 * FAULT_EVERY_S:
            at_s = (at_s // FAULT_EVERY_S + 0.5) * FAULT_EVERY_S
        steps.append(Step(at_s, what))
    steps.append(Step(min(FLOOD_AT_S, total_s * 0.2), FLOOD))
    return sorted(steps, key=lambda step: (step.at_s, step.what))


def due(steps: Sequence[Step], done: Sequence[str], now_s: float) -> Step | None:
    """The first step that is due and not done; ``done`` has the names of those that were, in order.

    A step counts as done once it was begun: what cut a leg off may have been its own doing.
    """
    left = list(done)
    for step in steps:
        if step.what in left:
            left.remove(step.what)
        elif step.at_s <= now_s:
            return step
    return None
