"""An upgrade of the schema keeps what is counted."""

import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
import sqlalchemy
from alembic import command
from sqlalchemy import Connection

from setup.local.parts.mariadb import MariaDbNode
from setup.local.platform import Platform
from setup.local.tools import current_user
from setup.schema import migrate

WATERMARK_HOUR = 457_250


@pytest.fixture
def connection(stores: Platform) -> Iterator[Connection]:
    """A connection to a database of this test, as root, who may create one."""
    (server,) = (part for part in stores.parts if isinstance(part, MariaDbNode))
    name = f"upgrade_{uuid.uuid4().hex[:8]}"
    root: dict[str, Any] = {
        "unix_socket": str(server.socket),
        "user": current_user(),
        "autocommit": True,
    }
    with pymysql.connect(**root) as database, database.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        engine = sqlalchemy.create_engine(
            f"mysql+pymysql:///{name}",
            creator=lambda: pymysql.connect(**root, database=name),
            poolclass=sqlalchemy.NullPool,
        )
        with engine.connect() as connection:
            yield connection
        cursor.execute(f"DROP DATABASE {name}")


def upgrade(connection: Connection, revision: str) -> None:
    config = migrate._config()
    config.attributes["connection"] = connection
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*already exists.*")
        command.upgrade(config, revision)


def test_names_of_the_former_schema_stay_for_a_day(connection: Connection) -> None:
    upgrade(connection, "0002")
    run = connection.exec_driver_sql
    run("INSERT INTO dictionary (dimension, name) VALUES (1, 'o'), (2, 'b')")
    run(
        "INSERT INTO partition_offsets (kafka_partition, topic_id, next_offset, watermark_ms) "
        f"VALUES (0, '{'a' * 32}', 7, {WATERMARK_HOUR * 3_600_000 + 5}), (1, '{'a' * 32}', 7, NULL)"
    )
    upgrade(connection, "head")
    upgrade(connection, "head")
    names = run("SELECT name, until_hour, complete_from_hour FROM dictionary ORDER BY id").all()
    day_later = WATERMARK_HOUR + 24
    assert [tuple(row) for row in names] == [(b"o", day_later, 0), (b"b", day_later, 0)]
    others = run("SELECT dimension, before_hour FROM other_names ORDER BY dimension").all()
    assert [tuple(row) for row in others] == [(1, day_later + 1), (2, day_later + 1)]
    # An actor of the former version, still running, sets no lease for names.
    run("INSERT INTO dictionary (dimension, name) VALUES (1, 'of another version')")
    assert run("SELECT MAX(until_hour) FROM dictionary").scalar_one() == 2**32 - 1
