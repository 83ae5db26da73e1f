"""The tables seen by a plain client, for benches: empty them, ask for their size."""

from typing import Any

import pymysql

from serve_app.core.names import (
    AGGREGATES_TABLE,
    DICTIONARY_TABLE,
    OFFSETS_TABLE,
    ROLLUPS_TABLE,
)
from serve_app.core.settings import Settings


def connect(stores: Settings, *, autocommit: bool = True) -> "pymysql.Connection[Any]":
    """A connection of another make than the product's."""
    return pymysql.connect(
        host=stores.mysql_host,
        port=stores.mysql_port,
        user=stores.mysql_user,
        password=stores.mysql_password.get_secret_value(),
        database=stores.mysql_database,
        autocommit=autocommit,
    )


def empty_tables(stores: Settings) -> None:
    """No row in any of them; ids of names begin at 1 again."""
    with connect(stores) as connection, connection.cursor() as cursor:
        for table in (AGGREGATES_TABLE, ROLLUPS_TABLE, OFFSETS_TABLE, DICTIONARY_TABLE):
            cursor.execute(f"TRUNCATE TABLE {table}")
