"""Made-up histories of the whole, each of which must hold what the contract promises."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.simulation.machine import Histories
from tests.simulation.patched import few_slots

HISTORIES = int(os.environ.get("TAGS_TEST_HISTORIES", "200"))
STEPS = int(os.environ.get("TAGS_TEST_STEPS", "20"))


@pytest.fixture(autouse=True, scope="module")
def _few_slots() -> Iterator[None]:
    with few_slots():
        yield


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=HISTORIES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
