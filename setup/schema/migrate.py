"""Brings the database to the newest schema, waiting for a server that still starts."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from serve_app.core.settings import Settings
from serve_app.stores.database import database_url

T = TypeVar("T")

RETRY_S: Final = 1.0


class SchemaError(Exception):
    """The schema could not be brought up to date; the message says why and what to do."""


def upgrade(settings: Settings, timeout_s: float = 60.0) -> str:
    """Apply what is missing; returns the revision that is there now. Doing it twice is harmless.

    Two at a time may trip over each other's rows in ``alembic_version``: the loser tries again and
    finds nothing left to do.

    Raises:
        SchemaError: no server within ``timeout_s``, or it refuses.
    """

    def work(connection: Connection) -> str:
        config = _config()
        config.attributes["connection"] = connection
        with warnings.catch_warnings():
            # "Table already exists" is what IF NOT EXISTS is for.
            warnings.filterwarnings("ignore", message=".*already exists.*")
            command.upgrade(config, "head")
        connection.commit()
        return _revision(connection) or "none"

    return _with_patience(settings, timeout_s, work)


def current(settings: Settings, timeout_s: float = 10.0) -> tuple[str | None, str]:
    """(revision in the database, newest revision); ``None`` for an empty database.

    Raises:
        SchemaError: no server within ``timeout_s``.
    """
    newest = ScriptDirectory.from_config(_config()).get_current_head() or ""
    return _with_patience(settings, timeout_s, _revision), newest


def _with_patience(settings: Settings, timeout_s: float, work: Callable[[Connection], T]) -> T:
    where = f"{settings.mysql_host}:{settings.mysql_port}, database {settings.mysql_database}"
    engine = sqlalchemy.create_engine(
        database_url(settings).set(drivername="mysql+pymysql"),
        poolclass=sqlalchemy.NullPool,
        connect_args={
            "connect_timeout": 5,
            "read_timeout": 60,
            **({"ssl_ca": settings.mysql_ca_file} if settings.mysql_ca_file else {}),
        },
    )
    give_up_s = time.monotonic() + timeout_s
    while True:
        try:
            with engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            if time.monotonic() + RETRY_S > give_up_s:
                raise SchemaError(
                    f"MySQL at {where}: {error.orig}. Is the server up, and are TAGS_MYSQL_… right?"
                ) from error
            time.sleep(RETRY_S)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
