"""The offsets of an erasure say nothing of the topic that takes the place of its own."""

from collections.abc import Callable

import pytest

from tests.simulation.test_former_failures import asked_for, world


def tags_after_an_erasure_in_the_former_topic() -> None:
    with world() as on:
        for _ in range(12):
            on.send("kim")
        on.erase("kim")
        on.replace_topic()
        on.send("kim")
        asked_for(on, 20)
        on.rest()


def an_erasure_at_lower_offsets_than_the_one_in_the_former_topic() -> None:
    with world() as on:
        for _ in range(12):
            on.send("kim")
        on.erase("kim")
        on.send("kim")
        on.replace_topic()
        on.erase("kim")
        asked_for(on, 20)
        on.rest()


@pytest.mark.parametrize(
    "history",
    [
        tags_after_an_erasure_in_the_former_topic,
        an_erasure_at_lower_offsets_than_the_one_in_the_former_topic,
    ],
)
def test_is_right(history: Callable[[], None]) -> None:
    history()
