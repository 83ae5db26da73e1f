"""The Redis Cluster for the operators' commands: patient, and complete or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from actors.errors import StoreUnavailable
from actors.settings import ActorSettings
from serve_app.core.settings import Settings
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import RedisShards

READY_S: Final = 10.0


@asynccontextmanager
async def tool_shards(
    stores: Settings, own: ActorSettings, *, needed: bool = True
) -> AsyncIterator[RedisShards]:
    """Started shards, of which every slot has one if they are ``needed``.

    Raises:
        StoreUnavailable: not within `READY_S`.
    """
    # No client waits for these, so they may take longer.
    shards = connect_shards(
        stores, timeout_s=own.view_node_timeout_s, refresh_s=own.view_map_interval_s
    )
    shards.start()
    try:
        if needed:
            await asyncio.wait_for(shards.wait_ready(), READY_S)
        yield shards
    except TimeoutError:
        raise StoreUnavailable("the Redis Cluster does not answer for all slots") from None
    finally:
        await shards.stop()
