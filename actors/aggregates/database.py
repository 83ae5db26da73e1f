"""Transactions on MySQL or MariaDB that end within their time, whatever the server does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from weakref import WeakSet

from aiomysql.connection import Connection
from pymysql.err import MySQLError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from actors.errors import SinkBroken, SinkUnavailable
from actors.settings import ActorSettings
from serve_app.core.settings import Settings
from serve_app.stores.database import connect_options, database_url

logger = logging.getLogger(__name__)
T = TypeVar("T")

CLEAN_UP_S: Final = 1.0
"""How long a cancelled transaction may take to roll back before its connection is cut."""

# Numbers of server errors: https://mariadb.com/kb/en/mariadb-error-code-reference/
NOT_SET_UP: Final = {1049: "the database does not exist", 1146: "the schema is not there"}
REFUSED: Final = frozenset({1044, 1045, 1048, 1054, 1064, 1142, 1264, 1364, 1366, 1406, 1690})
"""Access denied, no such column, syntax, out of range, too long: waiting does not help."""
NO_SUCH_TABLE: Final = 1146
DEADLOCK: Final = 1213

# Read by MariaDB, a comment for MySQL. After a fail-over, a node may not have applied yet what was
# committed elsewhere: SELECT (1) and UPDATE (2) wait until it has, so that no old offset is read.
_GALERA_SESSION: Final = " /*M! , wsrep_sync_wait = 3 */"


def error_number(error: BaseException) -> int | None:
    """MySQL's number of an error that SQLAlchemy or aiomysql raised."""
    original = error.orig if isinstance(error, DBAPIError) else error
    arguments = original.args if original is not None else ()
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


class Database:
    """A small pool of sessions with the time limits of a flush (docs/architecture.md, C13)."""

    def __init__(self, stores: Settings, settings: ActorSettings, **session: int) -> None:
        """``session``: session variables that differ from those of a flush."""
        self._stores = stores
        self._settings = settings
        self._session: dict[str, int] = {
            "wait_timeout": settings.wait_timeout_s,
            "net_read_timeout": settings.wait_timeout_s,
            "net_write_timeout": settings.wait_timeout_s,
            "innodb_lock_wait_timeout": settings.lock_wait_timeout_s,
            "lock_wait_timeout": settings.wait_timeout_s,
            **session,
        }
        self._connections: WeakSet[Connection] = WeakSet()
        """Of the driver; all that are open are among them."""
        self.engine = self._new_engine()

    async def transaction(
        self, work: Callable[[AsyncConnection], Awaitable[T]], timeout_s: float
    ) -> T:
        """Run ``work`` in one transaction and commit it; roll back if it raises.

        Raises:
            SinkUnavailable: no answer in time, a lost connection, a lock not granted. Whether it
                was committed is unknown.
            SinkBroken: the server refused the statement itself.
        """
        task = asyncio.create_task(self._transact(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            await self._abandon(task)
            raise
        if not done:
            await self._abandon(task)
            raise SinkUnavailable(f"the database did not answer within {timeout_s:.0f} s")
        try:
            return task.result()
        except (SQLAlchemyError, MySQLError, OSError, EOFError, TimeoutError) as error:
            raise sorted_out(error) from error

    async def close(self) -> None:
        """Close every connection; those of a server that does not answer are cut."""
        closing = asyncio.create_task(self.engine.dispose())
        await asyncio.wait({closing}, timeout=CLEAN_UP_S)
        self._cut()

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.engine.connect() as connection, connection.begin():
            return await work(connection)

    async def _abandon(self, task: "asyncio.Task[Any]") -> None:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=CLEAN_UP_S)
        # Retrieve the outcome, or asyncio warns that it never was.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        if not done:
            # Even the roll-back hangs. The server does it itself once the connection is gone.
            logger.warning("the database does not answer a roll-back; its connection is cut")
            self._cut()
            self.engine = self._new_engine()

    def _cut(self) -> None:
        """Close the sockets of all connections, those in use as well; does not wait."""
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()

    def _new_engine(self) -> AsyncEngine:
        stores = self._stores
        assignments = ", ".join(f"{name} = {value}" for name, value in self._session.items())
        options = connect_options(stores, self._settings.connect_timeout_s) | {
            "init_command": (
                f"SET SESSION {assignments}, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
                f"{_GALERA_SESSION}"
            ),
        }
        engine = create_async_engine(
            database_url(stores),
            # Upserts and dictionary look-ups must see what others committed, and lock no gaps.
            isolation_level="READ COMMITTED",
            pool_size=2,
            max_overflow=0,
            # A connection that the server dropped (wait_timeout, fail-over) is silently replaced.
            pool_pre_ping=True,
            pool_recycle=max(1, self._session["wait_timeout"] // 2),
            connect_args=options,
        )
        event.listen(
            engine.sync_engine,
            "connect",
            lambda adapted, _: self._connections.add(adapted.driver_connection),
        )
        return engine


def sorted_out(error: BaseException) -> SinkUnavailable | SinkBroken:
    """Translate an error of SQLAlchemy or the driver into ours."""
    number = error_number(error)
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if number in NOT_SET_UP:
        return SinkUnavailable(f"{NOT_SET_UP[number]} (python -m setup.schema upgrade)")
    text = f"{type(original).__name__}: {original}"[:300]
    if number in REFUSED:
        return SinkBroken(f"the database refuses: {text}")
    return SinkUnavailable(f"the database: {text}")
