"""Cost of aggregate answers, and errors when there is none, on real stores."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from aiomysql.connection import Connection
from pydantic import SecretStr
from sqlalchemy import text

from serve_app.core.errors import StoreAway
from serve_app.core.names import OFFSETS_TABLE
from serve_app.core.query import AggregateQuery
from serve_app.replica import Replica
from serve_app.stores.aggregates import Aggregates
from serve_app.stores.database import create_engine
from setup.local.platform import Platform
from tests.log_ends import log_ends
from tests.tags import new_tag

TIMEOUT_S = 2.0
COM_QUIT, COM_QUERY, COM_PING = 1, 3, 14


@pytest_asyncio.fixture
async def client(
    redis_stores: Platform, kafka_stores: Platform, mariadb_stores: Platform
) -> AsyncIterator[httpx.AsyncClient]:
    """Settings of a replica that waits two seconds at most; there are no actors."""
    settings = mariadb_stores.settings().model_copy(
        update={"aggregate_timeout_s": TIMEOUT_S, "aggregate_promise_s": 0.0}
    )
    engine = create_engine(settings)
    async with engine.connect() as connection:
        # Other tests of these stores left offsets of topics of their own.
        await connection.execute(text(f"DELETE FROM {OFFSETS_TABLE}"))
    await engine.dispose()
    replica = Replica(settings)
    replica.start()
    await replica.wait_ready()
    transport = httpx.ASGITransport(app=replica.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
        yield client
    await replica.stop()


async def test_behind_the_log_it_is_503_with_the_lag_once_the_time_is_over(
    client: httpx.AsyncClient, mariadb_stores: Platform
) -> None:
    accepted = await client.post("/user_tags", json=new_tag("c", "2022-03-01T00:00:01Z"))
    assert accepted.status_code == 204
    started_s = time.monotonic()
    answer = await client.post(
        "/aggregates?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00"
        "&action=VIEW&aggregates=COUNT"
    )
    # The margin is for a busy machine; an endless wait would hit the test's time-out.
    assert TIMEOUT_S <= time.monotonic() - started_s < TIMEOUT_S + 20
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    # Nothing of the log is counted, and other tests have written to it too.
    ends = await log_ends(mariadb_stores.settings().kafka_bootstrap)
    assert f"{sum(ends.values())} tags behind" in answer.json()["detail"]


async def test_a_query_that_is_given_up_leaves_nothing_to_the_next(
    mariadb_stores: Platform,
) -> None:
    engine = create_engine(mariadb_stores.settings(), pool_size=1, max_overflow=0)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), engine.connect() as connection:
                await connection.execute(text("SELECT SLEEP(20), 'not yours'"))
        snapshot = await Aggregates(engine).snapshot(AggregateQuery(0, 10, "VIEW", ("COUNT",)), 10)
        assert snapshot.sums == {}
    finally:
        await engine.dispose()


@pytest.mark.parametrize("away", ["nobody", "slow", "wrong password"])
async def test_a_database_that_does_not_answer_is_away_and_gives_nothing_else_away(
    mariadb_stores: Platform, away: str
) -> None:
    settings = mariadb_stores.settings()
    if away == "nobody":
        settings = settings.model_copy(update={"mysql_port": 1})
    elif away == "wrong password":
        settings = settings.model_copy(update={"mysql_password": SecretStr("not mine")})
    engine = create_engine(settings)
    query = AggregateQuery(0, 10, "VIEW", ("COUNT",))
    try:
        with pytest.raises(StoreAway, match=r"the database does not answer: [A-Za-z]+$"):
            await Aggregates(engine).snapshot(query, 0.0 if away == "slow" else 10)
    finally:
        await engine.dispose()


async def test_reading_costs_a_ping_and_one_statement(
    mariadb_stores: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, str]] = []
    execute = Connection._execute_command

    async def noted(self: Connection, command: int, sql: str | bytes) -> None:
        sent.append((command, sql if isinstance(sql, str) else sql.decode()))
        await execute(self, command, sql)

    monkeypatch.setattr(Connection, "_execute_command", noted)
    engine = create_engine(mariadb_stores.settings())
    try:
        aggregates = Aggregates(engine)
        query = AggregateQuery(0, 10, "VIEW", ("COUNT", "SUM_PRICE"), (("origin", "o"),))
        await aggregates.snapshot(query, 10)
        sent.clear()
        await aggregates.snapshot(query, 10)
    finally:
        await engine.dispose()
    # One of them is how a connection is closed.
    ping, select = (one for one in sent if one[0] != COM_QUIT)
    assert ping[0] == COM_PING
    assert select[0] == COM_QUERY
    assert select[1].startswith("SELECT")
