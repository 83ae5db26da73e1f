"""Runs commands as an operator does, on the platform shared by all tests of a session."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from redis.cluster import RedisCluster

from serve_app.stores.kafka_clients import connection_options
from serve_app.stores.redis_clients import connect_shards
from setup.local.platform import Platform
from tests.conftest import instance
from tests.contract.api import Api
from tests.tools.feeds import Feeds

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """Status and output of a command."""

    status: int
    output: str
    errors: str

    @property
    def document(self) -> dict[str, Any]:
        """The output as JSON."""
        content: dict[str, Any] = json.loads(self.output)
        return content


class Tools:
    """A running platform, and clients of its stores to damage them."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.stores = platform.settings()

    async def run(
        self, *arguments: str, timeout_s: float = 200, settings: Mapping[str, str] | None = None
    ) -> Ended:
        """``python -m`` with ``arguments``, and some settings other than the platform's."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            cwd=ROOT,
            env={**os.environ, **self.platform.environment(), "COLUMNS": "200", **(settings or {})},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), timeout_s)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ended(process.returncode or 0, output.decode(), errors.decode())

    async def verify(self, *arguments: str) -> Ended:
        """Verify with JSON output, by default the whole log."""
        return await self.run("actors.tools.verify", "--json", *arguments)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of one statement."""
        with (
            pymysql.connect(
                host=self.stores.mysql_host,
                port=self.stores.mysql_port,
                user=self.stores.mysql_user,
                password=self.stores.mysql_password.get_secret_value(),
                database=self.stores.mysql_database,
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())

    @contextmanager
    def redis(self) -> Iterator[RedisCluster]:
        """A client that shares nothing with ours."""
        host, port = self.stores.redis_nodes.split(",")[0].split(":")
        client = RedisCluster(host=host, port=int(port))
        try:
            yield client
        finally:
            client.close()


@pytest.fixture(scope="package")
def two_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka and Redis alone."""
    with instance(tmp_path_factory) as running:
        running.up(("redis", "kafka"))
        yield running


@pytest_asyncio.fixture
async def feeds(two_stores: Platform) -> AsyncIterator[Feeds]:
    """Log and profile view; feeds run only when a test starts them."""
    stores = two_stores.settings()
    shards = connect_shards(stores, timeout_s=2.0, refresh_s=0.5)
    producer = AIOKafkaProducer(acks="all", **connection_options(stores))
    shards.start()
    try:
        await shards.wait_ready()
        await producer.start()
        yield Feeds(two_stores, shards, producer)
    finally:
        await producer.stop()
        await shards.stop()


@pytest.fixture
def tools(platform: Platform) -> Tools:
    return Tools(platform)


@pytest_asyncio.fixture
async def api(platform: Platform) -> AsyncIterator[Api]:
    async with Api("127.0.0.1", platform.http_port) as api:
        yield api


@pytest.fixture
def key() -> Callable[[str, str], str]:
    """Redis key of a cookie and action, independent of the product's code."""
    return lambda cookie, action: f"p:{{{cookie}}}:{action}"
