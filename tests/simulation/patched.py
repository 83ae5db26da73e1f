"""Patches of the platform's code while a simulation runs."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

from serve_app.core import slots
from tests.simulation import redis_data
from tests.simulation.kafka import Ends
from tests.simulation.loop import SimulatedLoop
from tests.simulation.oracle import KEPT

SLOTS: Final = 12
"""Instead of 16,384, so that sets of slots are cheap and each move matters."""


async def _topic_id(client: Ends, node: int, topic: str) -> str:
    return client.topic_id


@contextmanager
def few_slots() -> Iterator[None]:
    """Patch for clusters of `SLOTS` slots, profiles of `KEPT` tags, and no logging."""
    names = (
        "serve_app.core.slots.SLOTS",
        "actors.profiles.lane.SLOTS",
        "serve_app.stores.redis_shards.SLOTS",
    )
    kept = (
        "serve_app.stores.profile_scripts.KEPT_PER_ACTION",
        "serve_app.stores.profiles.KEPT_PER_ACTION",
    )
    level = logging.root.manager.disable
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch(name, SLOTS))
        for name in kept:
            stack.enter_context(patch(name, KEPT))
        stack.enter_context(patch("actors.profiles.lane._NEAR", 2))
        stack.enter_context(patch("serve_app.core.slots._NEAR", 3))
        stack.enter_context(patch("serve_app.stores.log_ends.topic_id", _topic_id))
        _forget_slots()
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)
            _forget_slots()


@contextmanager
def time_of(loop: SimulatedLoop) -> Iterator[None]:
    """Patch the one module that reads the clock directly."""
    with patch("serve_app.stores.redis_shards.time", SimpleNamespace(monotonic=loop.time)):
        yield


def _forget_slots() -> None:
    slots.near_homes.cache_clear()
    slots.tag_of_slot.cache_clear()
    slots.tags_of_slots.cache_clear()
    redis_data.slot_of.cache_clear()
