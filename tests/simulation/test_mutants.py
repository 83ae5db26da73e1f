"""Without any one rule of the design, the simulation finds an error within some histories."""

import contextlib
import io
from typing import Final

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.marks import third_tier
from tests.simulation.machine import Histories
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.searching import histories

pytestmark = third_tier
ENOUGH: Final = 1_500
"""Number of histories in which a mutant must be found; most need less than a hundred."""
CONTROL: Final = 150


def machine_of(only: frozenset[str]) -> type[Histories]:
    """A machine with these rules only."""
    return type("Focused", (Histories,), {"only": only, "never": frozenset()})


def search(only: frozenset[str], count: int) -> None:
    """Run random histories; raises AssertionError for one that fails."""
    # Hypothesis prints the failing history.
    with contextlib.redirect_stdout(io.StringIO()):
        run_state_machine_as_test(
            machine_of(only), settings=histories(count, shrink=False, by_chance=False)
        )


@pytest.mark.parametrize(("mutant", "only"), MUTANTS, ids=[one.__name__ for one, _ in MUTANTS])
def test_a_rule_that_is_taken_out_is_missed(mutant: Mutant, only: frozenset[str]) -> None:
    with mutant(), pytest.raises(AssertionError, match=r"lacks tag|was erased"):
        search(only, ENOUGH)


FOCUSES = sorted({only for _, only in MUTANTS}, key=sorted)


@pytest.mark.parametrize("only", FOCUSES, ids=[" ".join(sorted(only)) for only in FOCUSES])
def test_such_histories_are_right_with_all_rules(only: frozenset[str]) -> None:
    search(only, CONTROL)
