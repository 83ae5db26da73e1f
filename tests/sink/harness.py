"""A topic and empty tables on a running Kafka and MariaDB, for one test."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymysql.cursors import Cursor

from actors.aggregates.counting import PartitionActor
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.table_partitions import TablePartitions
from actors.log.dead_letters import KafkaDeadLetters
from actors.log.kafka_log import KafkaLog
from actors.settings import ActorSettings
from serve_app.core.clock import SystemClock
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import connection_options
from tests.sink.stream import Counts, bodies, expected
from tests.tables import ALL_TABLES

ROOT = Path(__file__).parents[2]

QUICK = {
    "flush_interval_s": 0.1,
    "flush_rows": 150,
    "statement_rows": 60,
    "poll_records": 100,
    "fetch_wait_ms": 20,
    "fetch_min_bytes": 1,
    "retry_s": 0.1,
    "failed_retry_s": 0.3,
    "stand_by_intervals": 1,
    "wait_timeout_s": 2,
    "lock_wait_timeout_s": 4,
    "flush_timeout_s": 8.0,
    "log_check_interval_s": 0.2,
    "table_partition_interval_s": 0.2,
}
"""Short intervals; the same mechanisms as in production."""


class Harness:
    """A topic, tables, actors and checks; made by the fixture ``harness``."""

    def __init__(self, stores: Settings, topic: str) -> None:
        self.stores = stores
        self.topic = topic
        self.settings = ActorSettings.model_validate(QUICK)
        self.sent: list[bytes] = []

    # --- Kafka ---------------------------------------------------------------------------------

    async def create_topic(self, partitions: int = 1) -> None:
        await self.admin(
            lambda admin: admin.create_topics(
                [
                    NewTopic(
                        self.topic,
                        partitions,
                        1,
                        topic_configs={"message.timestamp.type": "LogAppendTime"},
                    )
                ]
            )
        )

    async def delete_topic(self) -> None:
        await self.admin(lambda admin: admin.delete_topics([self.topic]))

    async def admin(self, work: Callable[[AIOKafkaAdminClient], object]) -> None:
        admin = AIOKafkaAdminClient(**connection_options(self.stores))
        await admin.start()
        try:
            await work(admin)  # type: ignore[misc]
        finally:
            await admin.close()

    async def send(self, count: int, *, partition: int = 0) -> None:
        """More tags of the test's stream."""
        await self.send_bodies(bodies(count, start=len(self.sent)), partition=partition)

    async def send_bodies(self, new: Sequence[bytes], *, partition: int = 0) -> None:
        """These, in order."""
        # Record first, for tests that compare counts with sent tags.
        self.sent += new
        producer = AIOKafkaProducer(**connection_options(self.stores), linger_ms=5)
        await producer.start()
        try:
            waiting = [await producer.send(self.topic, body, partition=partition) for body in new]
            await asyncio.gather(*waiting)
        finally:
            await producer.stop()

    # --- actors --------------------------------------------------------------------------------

    def sink(self, partition: int = 0) -> MySQLSink:
        return MySQLSink(
            partition, database=Database(self.stores, self.settings), settings=self.settings
        )

    def child_environment(self) -> dict[str, str]:
        """Environment of a process that uses this harness's stores."""
        own = self.settings.model_dump(exclude_unset=True)
        return {
            **os.environ,
            **{f"TAGS_ACTOR_{name.upper()}": str(value) for name, value in own.items()},
            "TAGS_KAFKA_BOOTSTRAP": self.stores.kafka_bootstrap,
            "TAGS_MYSQL_PORT": str(self.stores.mysql_port),
            "TAGS_MYSQL_PASSWORD": self.stores.mysql_password.get_secret_value(),
            "PYTHONPATH": str(ROOT),
        }

    @contextmanager
    def child(self, **points: str) -> Iterator[subprocess.Popen[bytes]]:
        """An actor in another process; points such as ``kill="commit"``: ``failing_actor.py``."""
        arguments = [f"{signal_name}={point}" for signal_name, point in points.items()]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.sink.failing_actor", self.topic, *arguments],
            cwd=ROOT,
            env=self.child_environment(),
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def tables_keeper(self) -> TablePartitions:
        """The keeper of table partitions."""
        sessions = Database(
            self.stores, self.settings, lock_wait_timeout=self.settings.ddl_lock_wait_timeout_s
        )
        return TablePartitions(sessions, settings=self.settings, clock=SystemClock())

    # --- tables --------------------------------------------------------------------------------

    def clear(self) -> None:
        """Empty all tables, with only the catch-all partition."""
        for table in ALL_TABLES:
            self.query(f"TRUNCATE TABLE {table}")
        for table in ("aggregates", "rollups"):
            if len(self.table_partitions(table)) > 1:
                self.query(
                    f"ALTER TABLE {table} PARTITION BY RANGE (bucket) "
                    "(PARTITION p_rest VALUES LESS THAN MAXVALUE)"
                )

    def table_partitions(self, table: str) -> list[str]:
        """Names of partitions, in the order of their hours."""
        rows = self.query(
            "SELECT PARTITION_NAME FROM information_schema.PARTITIONS WHERE "
            f"TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' "
            "ORDER BY PARTITION_ORDINAL_POSITION"
        )
        return [str(row[0]) for row in rows]

    def connection(self) -> "pymysql.Connection[Cursor]":
        return pymysql.connect(
            host=self.stores.mysql_host,
            port=self.stores.mysql_port,
            user=self.stores.mysql_user,
            password=self.stores.mysql_password.get_secret_value(),
            database=self.stores.mysql_database,
            autocommit=True,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def offset(self, partition: int = 0) -> int | None:
        rows = self.query(
            f"SELECT next_offset FROM partition_offsets WHERE kafka_partition = {partition}"
        )
        return int(str(rows[0][0])) if rows else None

    def tables(self) -> tuple[Counts, Counts]:
        """Content of the tables, with names instead of ids."""
        full = self.query(
            "SELECT bucket, IF(action = 0, 'VIEW', 'BUY'), o.name, b.name, c.name, "
            "SUM(count), SUM(sum_price) FROM aggregates "
            "JOIN dictionary o ON o.id = origin_id AND o.dimension = 1 "
            "JOIN dictionary b ON b.id = brand_id AND b.dimension = 2 "
            "JOIN dictionary c ON c.id = category_id AND c.dimension = 3 "
            "GROUP BY 1, 2, 3, 4, 5"
        )
        rolled = self.query(
            "SELECT bucket, IF(action = 0, 'VIEW', 'BUY'), r.dimension, COALESCE(d.name, ''), "
            "SUM(count), SUM(sum_price) FROM rollups r LEFT JOIN dictionary d "
            "ON d.id = r.value_id AND d.dimension = r.dimension GROUP BY 1, 2, 3, 4"
        )
        return _as_counts(full), _as_counts(rolled)

    def assert_exact(self, counted: Sequence[bytes] | None = None) -> None:
        """Check that all sent tags (or those in ``counted``) are counted exactly once."""
        assert self.offset() == len(self.sent)
        full, rolled = self.tables()
        wanted_full, wanted_rolled = expected(self.sent if counted is None else counted)
        assert full == wanted_full
        assert rolled == wanted_rolled


class Running:
    """A partition actor in this process, while the context lasts."""

    def __init__(self, harness: Harness, partition: int = 0) -> None:
        """With its table partitions, as in production."""
        own = harness.settings
        self.harness = harness
        self.sink = harness.sink(partition)
        self.keeper = harness.tables_keeper()
        self.log = KafkaLog(harness.topic, partition, stores=harness.stores, settings=own)
        self.letters = KafkaDeadLetters(partition, stores=harness.stores, timeout_s=5)
        self.actor = PartitionActor(
            partition,
            log=self.log,
            sink=self.sink,
            dead_letters=self.letters,
            clock=SystemClock(),
            settings=own,
            on_flushed=self.keeper.flushed,
        )

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self.actor.run())
        self._keeping = asyncio.create_task(self.keeper.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._task, self._keeping):
            task.cancel()
        await asyncio.gather(self._task, self._keeping, return_exceptions=True)
        for part in (self.log, self.letters, self.sink, self.keeper):
            await part.close()

    async def until(self, reached: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Wait for a condition; fails with the actor's status."""
        give_up_s = time.monotonic() + timeout_s
        while not reached():
            for task in (self._task, self._keeping):
                if task.done():
                    task.result()
            assert time.monotonic() < give_up_s, self.actor.status
            await asyncio.sleep(0.02)

    async def until_done(self) -> None:
        """Wait until the tables have all that was sent."""
        await self.until(lambda: self.harness.offset() == len(self.harness.sent))


def _as_counts(rows: Sequence[tuple[object, ...]]) -> Counts:
    def text(value: object) -> object:
        return value.decode() if isinstance(value, bytes) else value

    return {
        tuple(text(value) for value in row[:-2]): (int(str(row[-2])), int(str(row[-1])))
        for row in rows
    }
