"""The health report: each store by name, asked now, within a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from serve_app.stores.log_ends import LogEnds
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable
from serve_app.stores.tag_log import TagLog

_ASK_S: Final = 2.0
_SAMPLE_AGE_S: Final = 5.0

Check = Callable[[], Awaitable[str]]
"""Returns a few words on what it saw.

Raises:
    Exception: the store does not answer; the message says why.
"""


async def report(checks: Mapping[str, Check]) -> dict[str, Any]:
    """``{"status": "ok" | "degraded", "stores": {name: {"status": …, "detail": …}}}``."""
    states = await asyncio.gather(*(ask(check) for check in checks.values()))
    stores = dict(zip(checks, states, strict=True))
    healthy = all(state["status"] == "ok" for state in states)
    return {"status": "ok" if healthy else "degraded", "stores": stores}


async def ask(check: Check) -> dict[str, str]:
    """What one check saw, or why it could not: ``status`` and ``detail``."""
    try:
        async with asyncio.timeout(_ASK_S):
            return {"status": "ok", "detail": await check()}
    except TimeoutError:
        return {"status": "down", "detail": f"no answer within {_ASK_S:g} s"}
    except Exception as error:
        return {"status": "down", "detail": str(error) or type(error).__name__}


def redis_check(shards: RedisShards) -> Check:
    """Every master answers PING."""

    async def check() -> str:
        if not shards.shards:
            raise ShardUnavailable("the map of the Redis Cluster is not known yet")
        await asyncio.gather(*(shards.on_master(s, [("PING",)]) for s in shards.shards))
        return f"{len(shards.shards)} shards"

    return check


def redis_version(shards: RedisShards) -> Check:
    """The version of the servers, one after the other where they differ."""

    async def versions() -> str:
        if not shards.shards:
            raise ShardUnavailable("the map of the Redis Cluster is not known yet")
        masters = (shards.on_master(s, [("INFO", "server")]) for s in shards.shards)
        found = set()
        for (reply,) in await asyncio.gather(*masters):
            lines = bytes(reply).decode().splitlines()
            found |= {line for line in lines if line.startswith("redis_version:")}
        return ", ".join(sorted(line.partition(":")[2] for line in found))

    return versions


def kafka_check(log: TagLog, log_ends: LogEnds) -> Check:
    """The producer is connected, and the log's ends were read a moment ago."""

    async def check() -> str:
        if not log.ready:
            raise ConnectionError(log.last_error or "connecting")
        now_s = asyncio.get_running_loop().time()
        if log_ends.oldest_since(now_s - _SAMPLE_AGE_S) is None:
            raise ConnectionError(log_ends.last_error or f"not read for {_SAMPLE_AGE_S:g} s")
        return f"{log.replaced} producers replaced"

    return check


def mysql_check(engine: AsyncEngine) -> Check:
    """The server answers."""

    async def check() -> str:
        async with engine.connect() as connection:
            return str((await connection.execute(text("SELECT VERSION()"))).scalar_one())

    return check
