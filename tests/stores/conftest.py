"""An instance with stores only; each is started when a test first needs it."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import redis

from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import RedisShards
from setup.local.platform import Platform
from tests.conftest import instance
from tests.waiting import eventually


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with instance(tmp_path_factory) as platform:
        yield platform


@pytest.fixture(scope="session")
def redis_stores(stores: Platform) -> Platform:
    stores.up(("redis",))
    return stores


@pytest.fixture(scope="session")
def kafka_stores(stores: Platform) -> Platform:
    stores.up(("kafka",))
    return stores


@pytest.fixture(scope="session")
def mariadb_stores(stores: Platform) -> Platform:
    stores.up(("mariadb",))
    return stores


@pytest_asyncio.fixture
async def shards(redis_stores: Platform) -> AsyncIterator[RedisShards]:
    """A complete map of the cluster, after all nodes have recovered from earlier tests."""
    for index in range(redis_stores.stack.redis_nodes):
        await eventually(partial(in_order, redis_stores.ports["redis"] + index))
    shards = connect_shards(redis_stores.settings())
    shards.start()
    await shards.wait_ready()
    yield shards
    await shards.stop()


@pytest.fixture
def profiles(shards: RedisShards) -> Profiles:
    return Profiles(shards)


async def in_order(port: int) -> bool:
    """Whether a node answers and sees the complete cluster."""
    try:
        client = redis.Redis("127.0.0.1", port, socket_timeout=1)
        return bool(client.cluster("INFO")["cluster_state"] == "ok")
    except redis.RedisError:
        return False


def pid_of(platform: Platform, part: str) -> int:
    """The process of a part."""
    pid = platform.supervisor.states()[part].pid
    assert pid
    return pid


def kill(platform: Platform, part: str) -> None:
    """Kill -9 one part; the supervisor starts it again."""
    os.kill(pid_of(platform, part), signal.SIGKILL)


@contextmanager
def stopped(platform: Platform, part: str) -> Iterator[None]:
    """SIGSTOP a part: it accepts connections and does not answer."""
    pid = pid_of(platform, part)
    os.kill(pid, signal.SIGSTOP)
    try:
        # Threads stop when next scheduled, and may answer until then.
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that has ended
                while (task / "stat").read_text().rpartition(")")[2].split()[0] != "T":
                    time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
