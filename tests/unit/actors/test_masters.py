"""Who the masters are, asked of a real Redis Cluster with replicas."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.asyncio

from actors.profiles.masters import ClusterMasters
from serve_app.core.settings import Settings
from serve_app.stores.redis_clients import connect_shards
from setup.local.platform import Platform
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Settings]:
    with Platform(tmp_path / "platform", profile="cluster", free=True) as platform:
        platform.up(("redis",))
        yield platform.settings()


async def fail_over(masters: ClusterMasters, new: str) -> dict[str, str]:
    """Let the replica ``new`` take its master's place; who they are then."""
    client = redis.asyncio.Redis.from_url(f"redis://{new}")
    ids: dict[str, str] = {}

    async def obeys() -> bool:
        # Refused while the replica is not yet linked with its master.
        with contextlib.suppress(redis.asyncio.RedisError):
            await client.execute_command("CLUSTER", "FAILOVER")  # type: ignore[no-untyped-call]
            return True
        return False

    async def leads() -> bool:
        ids.clear()
        ids.update(await masters.run_ids() or {})
        return new in ids and len(ids) == 3

    await eventually(obeys)
    await eventually(leads)
    await client.aclose()
    return ids


async def test_a_master_that_was_a_replica_meanwhile_is_another_one(cluster: Settings) -> None:
    shards = connect_shards(cluster)
    shards.start()
    masters = ClusterMasters(shards, timeout_s=10)
    try:
        first = await masters.run_ids()
        assert first is not None
        assert len(first) == 3
        assert await masters.run_ids() == first

        async def has_replica() -> bool:
            return bool(shards.shards[0].replicas)

        await eventually(has_replica)
        old, replica = shards.shards[0].name, shards.shards[0].replicas[0].address
        await fail_over(masters, replica)
        again = await fail_over(masters, old)
        # The same process as before.
        assert again[old].split("/")[0] == first[old].split("/")[0]
        assert again[old] != first[old]
        assert {name for name in first if again[name] != first[name]} == {old}
    finally:
        await shards.stop()
