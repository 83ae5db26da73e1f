"""Letting go of several Kafka clients, whatever each of them does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.stores.kafka_clients import close_clients


class Closings:
    """Of clients that each end in one way; which were begun, and which got to their end."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.hanging = asyncio.Event()

    async def close(self, number: int, ends: Callable[[], Awaitable[None]]) -> None:
        self.begun.append(number)
        try:
            await ends()
        finally:
            self.ended.append(number)

    async def at_once(self) -> None:
        """A client of a broker that is there."""

    async def fails(self) -> None:
        raise ConnectionError("the broker is gone")

    async def cancels_itself(self) -> None:
        """Aiokafka does when a broker dies."""
        raise asyncio.CancelledError

    async def hangs(self) -> None:
        self.hanging.set()
        await asyncio.Event().wait()


WAYS = ("at_once", "fails", "cancels_itself", "hangs")


@given(st.lists(st.sampled_from(WAYS), max_size=4))
def test_each_is_closed_in_turn_and_nothing_is_raised(ways: list[str]) -> None:
    async def main() -> None:
        closings = Closings()
        await close_clients(
            0.002, *(closings.close(at, getattr(closings, way)) for at, way in enumerate(ways))
        )
        assert closings.begun == closings.ended == list(range(len(ways)))

    asyncio.run(main())


@given(st.lists(st.sampled_from(("at_once", "fails")), max_size=2), st.integers(0, 3))
def test_who_is_cancelled_meanwhile_still_closes_the_later_ones(
    before: list[str], after: int
) -> None:
    async def main() -> None:
        closings = Closings()
        ways = [*before, "hangs", *["at_once"] * after]
        task = asyncio.create_task(
            close_clients(
                60, *(closings.close(at, getattr(closings, way)) for at, way in enumerate(ways))
            )
        )
        await closings.hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closings.begun == closings.ended == list(range(len(ways)))

    asyncio.run(main())
