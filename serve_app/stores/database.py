"""Connection settings of every MySQL client: address, TLS and time-outs."""

import ssl
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from serve_app.core.settings import Settings
from serve_app.stores.driver_patches import patch_drivers

patch_drivers()
CONNECT_TIMEOUT_S = 3


def database_url(settings: Settings) -> URL:
    """The address, user and database; the password is masked when printed."""
    return URL.create(
        "mysql+aiomysql",
        username=settings.mysql_user,
        password=settings.mysql_password.get_secret_value() or None,
        host=settings.mysql_host,
        port=settings.mysql_port,
        database=settings.mysql_database,
        query={"charset": "utf8mb4"},
    )


def connect_options(settings: Settings, timeout_s: float = CONNECT_TIMEOUT_S) -> dict[str, Any]:
    """What aiomysql's ``connect`` needs beside the address: its time-out and TLS."""
    options: dict[str, Any] = {"connect_timeout": timeout_s}
    if settings.mysql_ca_file:
        options["ssl"] = ssl.create_default_context(cafile=settings.mysql_ca_file)
    return options


def create_engine(settings: Settings, **options: Any) -> AsyncEngine:
    """An engine for reading, whose connections are checked before use (0.1 ms a query).

    A fail-over leaves dead ones behind. Autocommit is on from the connection's start: switching it
    on through SQLAlchemy later costs five more round trips.

    Args:
        settings: where the server is.
        options: passed on to SQLAlchemy's ``create_async_engine``.
    """
    return create_async_engine(
        database_url(settings),
        connect_args=connect_options(settings),
        pool_pre_ping=True,
        pool_recycle=60,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        **options,
    )


def binary_literal(name: str) -> str:
    """The name's UTF-8 as a hexadecimal literal: binary on both servers, nothing to escape.

    Not a bound parameter: aiomysql 0.3.2 cannot bind bytes with PyMySQL 1.2 (PyMySQL#1274).
    """
    return f"x'{name.encode().hex()}'"
