"""One HAProxy, shared by tests that do not need their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.front.front_door import Replica, haproxy


@dataclass(frozen=True)
class Door:
    """HAProxy's port, and the replica behind it."""

    port: int
    replica: Replica


@pytest.fixture(scope="session")
def shared_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    replica = Replica()
    folder: Path = tmp_path_factory.mktemp("door")
    with replica.running(), haproxy(folder, {"http-case12": [replica.port]}) as port:
        yield Door(port, replica)


@pytest.fixture
def door(shared_door: Door) -> Door:
    return shared_door
