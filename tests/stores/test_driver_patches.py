"""Drivers just after their server died, on uvloop as in Serve's replicas, with real servers."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from serve_app.stores.database import create_engine
from serve_app.stores.kafka_clients import connection_options
from setup.local.platform import Platform


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        # Without the patch this waits for ever.
        async with asyncio.timeout(60):
            await work

    uvloop.run(bounded())


async def connected_client(stores: Platform) -> AIOKafkaClient:
    client = AIOKafkaClient(**connection_options(stores.settings()))
    await client.bootstrap()
    assert await client.force_metadata_update()
    assert client._conns
    return client


def test_a_kafka_connection_says_that_it_is_lost(kafka_stores: Platform) -> None:
    async def work() -> None:
        client = await connected_client(kafka_stores)
        (connection,) = client._conns.values()
        connection._writer.transport.abort()
        # Closed, but its reading task has not noticed yet.
        await asyncio.sleep(0)
        with pytest.raises(KafkaConnectionError, match="is closed"):
            await connection.send(MetadataRequest([]))
        assert not connection.connected()
        await client.close()

    run(work())


def test_a_kafka_client_goes_on_fetching_metadata(kafka_stores: Platform) -> None:
    async def work() -> None:
        client = await connected_client(kafka_stores)
        (connection,) = client._conns.values()
        # The same state, forced: after a reset the connection still looks usable.
        connection._read_task.cancel()
        connection.connected = lambda: connection._reader is not None
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        await client.force_metadata_update()
        assert await client.force_metadata_update()
        assert connection not in client._conns.values()
        await client.close()

    run(work())


def test_an_engine_replaces_its_connection(mariadb_stores: Platform) -> None:
    async def work() -> None:
        engine = create_engine(mariadb_stores.settings(), pool_size=1, max_overflow=0)
        ids = set()
        for _ in range(3):
            async with engine.connect() as connection:
                ids.add((await connection.execute(text("SELECT CONNECTION_ID()"))).scalar_one())
                driver: Any = (await connection.get_raw_connection()).driver_connection
            driver._writer.transport.abort()
            await asyncio.sleep(0)
        assert len(ids) == 3
        await engine.dispose()

    run(work())


def test_a_statement_on_a_lost_connection_is_an_error_of_the_database(
    mariadb_stores: Platform,
) -> None:
    async def work() -> None:
        engine = create_engine(mariadb_stores.settings())
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver._writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(OperationalError) as caught:
                await connection.execute(text("SELECT 1"))
            assert caught.value.connection_invalidated
        await engine.dispose()

    run(work())
