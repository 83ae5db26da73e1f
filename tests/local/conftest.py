"""One set of real stores for the tests that look at them."""

from collections.abc import Iterator

import pytest

from setup.local.platform import STORES, Platform
from tests.conftest import STACK


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Redis Cluster, Kafka and MariaDB (or MySQL) on ports of their own, up."""
    platform = Platform(tmp_path_factory.mktemp("stores"), stack=STACK, free=True)
    try:
        platform.up(STORES)
        yield platform
    finally:
        platform.down()
