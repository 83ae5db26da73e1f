"""A Kafka broker and a MariaDB or MySQL server of these tests' own, on free ports."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from setup.local.platform import Platform
from tests.conftest import instance
from tests.sink.harness import Harness


@pytest.fixture(scope="package")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Both stores, with schema and topics."""
    with instance(tmp_path_factory) as running:
        running.up(("kafka", "mariadb"))
        yield running


@pytest_asyncio.fixture
async def harness(stores: Platform) -> AsyncIterator[Harness]:
    """A topic of its own with one partition, and empty tables."""
    harness = Harness(stores.settings(), f"tags-{uuid.uuid4().hex[:8]}")
    harness.clear()
    await harness.create_topic()
    yield harness
    await harness.delete_topic()
