"""Random histories, each of which must keep the contract."""

from tests.marks import second_tier
from tests.simulation.machine import Histories, MovesAndFailovers, MovingHistories
from tests.simulation.searching import HISTORIES, histories

pytestmark = second_tier


class TestHistories(Histories.TestCase):  # type: ignore[misc, valid-type]  # made by a property
    settings = histories(HISTORIES)


class TestHistoriesWithMovingSlots(MovingHistories.TestCase):  # type: ignore[misc, valid-type]  # made by a property
    settings = histories(HISTORIES)


class TestMovesAndFailovers(MovesAndFailovers.TestCase):  # type: ignore[misc, valid-type]  # made by a property
    settings = histories(HISTORIES)
