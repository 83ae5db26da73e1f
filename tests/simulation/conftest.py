"""Fixtures of all simulations."""

from collections.abc import Iterator

import pytest

from tests.simulation.patched import few_slots


@pytest.fixture(autouse=True)
def _few_slots() -> Iterator[None]:
    with few_slots():
        yield
