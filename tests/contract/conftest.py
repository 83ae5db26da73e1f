"""Fixtures of the contract's tests: the running platform.

``TAGS_TEST_API=host:port`` uses an existing platform, which must run with
``TAGS_AGGREGATE_PROMISE_S=0``; otherwise one is started.
"""

import itertools
import os
import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from tests.contract.api import Api, Minutes


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest) -> tuple[str, int]:
    """Host and port of the API."""
    there = os.environ.get("TAGS_TEST_API")
    if there:
        host, _, port = there.rpartition(":")
        return host, int(port)
    platform = request.getfixturevalue("platform")
    return "127.0.0.1", platform.http_port


@pytest_asyncio.fixture
async def api(address: tuple[str, int]) -> AsyncIterator[Api]:
    async with Api(*address) as api:
        yield api


@pytest.fixture(scope="session")
def next_minutes() -> Callable[[], Minutes]:
    """Ranges of twelve minutes, distinct for each test.

    They are within hours of each other, in a random month of the past, so that a platform used by
    earlier runs works as well as a new one.
    """
    first = datetime(2022, 3, 1) + timedelta(minutes=random.randrange(400_000) * 2)
    starts = (first + timedelta(minutes=12 * number) for number in itertools.count())
    return lambda: Minutes(next(starts))


@pytest.fixture
def minutes(next_minutes: Callable[[], Minutes]) -> Minutes:
    return next_minutes()
