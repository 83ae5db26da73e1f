"""One set of real stores for the tests that look at them."""

from collections.abc import Iterator

import pytest

from setup.local.platform import STORES, Platform


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Redis Cluster, Kafka and MariaDB on ports of their own, up."""
    platform = Platform(tmp_path_factory.mktemp("stores"), free=True)
    try:
        platform.up(STORES)
        yield platform
    finally:
        platform.down()
