"""The health check of a replica: of its own work, never of a store."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from serve_app.app import Case12
from serve_app.core.settings import Settings
from serve_app.ray_metrics import RayRecorder
from serve_app.replica import Replica
from tests.waiting import eventually

NOWHERE = "127.0.0.1:1"


@pytest_asyncio.fixture
async def case12() -> AsyncIterator[Any]:
    """What the constructor makes, without Ray and with every store away."""
    replica = Replica(Settings(kafka_bootstrap=NOWHERE, redis_nodes=NOWHERE, mysql_port=1))
    publishing = asyncio.create_task(RayRecorder().run(), name="metrics")
    replica.start()
    yield SimpleNamespace(_replica=replica, _publishing=publishing)
    publishing.cancel()
    await replica.stop()


async def test_a_replica_whose_stores_are_away_is_healthy(case12: Any) -> None:
    async def failed() -> bool:
        await Case12.check_health(case12)
        replica = case12._replica
        return bool(replica._log.last_error and replica._log_ends.last_error)

    await eventually(failed)


@pytest.mark.parametrize("name", ["metrics", "redis-shards", "tag-log", "log-ends", "watch-stores"])
async def test_a_replica_with_a_loop_that_has_ended_is_not(case12: Any, name: str) -> None:
    await Case12.check_health(case12)
    (loop,) = (task for task in asyncio.all_tasks() if task.get_name() == name)
    loop.cancel()
    await asyncio.wait({loop})
    with pytest.raises(RuntimeError, match=f"{name} has ended"):
        await Case12.check_health(case12)
