"""A Kafka broker and a MariaDB server of the test session's own, on free ports."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from setup.local.platform import Platform
from tests.sink.box import Box


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Both stores, with schema and topics."""
    with Platform(tmp_path_factory.mktemp("stores"), free=True) as stores:
        stores.up(("kafka", "mariadb"))
        yield stores


@pytest_asyncio.fixture
async def box(platform: Platform) -> AsyncIterator[Box]:
    """A topic of its own with one partition, and empty tables."""
    box = Box(platform.settings(), f"tags-{uuid.uuid4().hex[:8]}")
    box.clear()
    await box.create_topic()
    yield box
    await box.delete_topic()
