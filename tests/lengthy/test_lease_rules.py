"""Each rule of leases is needed: without it, some history loses the name of a kept row."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.marks import third_tier
from tests.unit.actors.test_leases import FEW, Histories

MOST_HISTORIES = 20_000
"""Hypothesis also draws constants of our own code, so that any edit changes which histories come
first: 3,000 were too few once."""


class WithoutLeases(Histories):
    asks_again = False


class WithoutRaisingBeside(Histories):
    raises_beside = False


class WithoutTheLiveBound(Histories):
    raises_beside = False
    claims_live_bound = False


@third_tier
@pytest.mark.parametrize("without", [WithoutLeases, WithoutRaisingBeside, WithoutTheLiveBound])
def test_each_rule_is_needed(without: type[Histories]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            without,
            settings=settings(
                FEW, max_examples=MOST_HISTORIES, phases=[Phase.generate], derandomize=True
            ),
        )
