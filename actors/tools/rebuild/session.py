"""The database session of a rebuild: one at a time, by a named lock that ends with the session."""

from typing import Any, Final

from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from actors.aggregates.database import error_number, sorted_out
from actors.errors import SinkUnavailable
from actors.tools.rebuild.errors import RebuildRefused
from serve_app.core.settings import Settings
from serve_app.stores.database import connect_options, database_url

WAIT_S: Final = 600
"""The server drops this session, and with it the lock, after so long without a statement: that
bounds how long a rebuild whose machine vanished keeps others out. A killed one frees it at once."""
LOCK_WAIT_S: Final = 2
"""A waiting RENAME holds up every flush and query behind it, so it gives up quickly."""
GRACE_S: Final = 3
"""A session that was cut, our own for one, keeps the lock until the server has ended it."""
_MAX_LOCK_NAME: Final = 64

# Numbers of server errors.
LOCK_REFUSED: Final = frozenset({1205, 1213})
"""Timed out, or a deadlock."""
NO_SUCH_TABLE: Final = 1146


class RebuildSession:
    """Holds the lock and sends the DDL, so that without the lock there is no swap.

    A lost session is reopened only together with the lock. Another rebuild may have run in
    between; that does no harm, as the tables beside the live ones are right at any time for
    the offsets that they hold themselves.

    The lock is the server's own: with Galera or group replication it holds where all sessions go
    to one node, as ours do. Two rebuilds that do not see each other, around a fail-over, count
    into the same tables by the same compare-and-swap, and only one of them swaps.
    """

    def __init__(self, stores: Settings) -> None:
        self._lock = f"rebuild:{stores.mysql_database}"[:_MAX_LOCK_NAME]
        self._engine: AsyncEngine = create_async_engine(
            database_url(stores),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args=connect_options(stores)
            | {
                "init_command": (
                    f"SET SESSION wait_timeout = {WAIT_S}, lock_wait_timeout = {LOCK_WAIT_S}"
                )
            },
        )
        self._connection: AsyncConnection | None = None

    async def hold(self) -> None:
        """Make sure of session and lock; also keeps the session alive.

        Raises:
            RebuildRefused: another rebuild has the lock.
            SinkUnavailable: the database does not answer.
        """
        try:
            if self._connection is not None:
                await self.rows("SELECT 1")
                return
        except SinkUnavailable:
            await self._drop()
        try:
            self._connection = await self._engine.connect()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise sorted_out(error) from error
        if await self._number(f"SELECT GET_LOCK('{self._lock}', {GRACE_S})") != 1:
            holder = await self._number(f"SELECT IS_USED_LOCK('{self._lock}')")
            await self._drop()
            raise RebuildRefused(
                f"another rebuild is running (database connection {holder}). "
                "Wait for it or stop it; one whose machine is gone is forgotten after "
                f"{WAIT_S // 60} minutes, or by `KILL {holder}`."
            )

    async def rows(self, sql: str) -> list[Any]:
        """All rows of a statement, which is a transaction of its own.

        Raises:
            SinkUnavailable: no answer, or a lock that was not granted; its ``__cause__`` is the
                server's error.
            SinkBroken: the server refuses the statement.
        """
        if self._connection is None:
            raise SinkUnavailable("not connected to the database")
        try:
            result = await self._connection.exec_driver_sql(sql)
            return list(result) if result.returns_rows else []
        except (SQLAlchemyError, OSError, EOFError, TimeoutError) as error:
            if self._connection.invalidated:
                # Gone, and the lock with it: of no use until `hold` opens another.
                await self._drop()
            raise sorted_out(error) from error

    async def close(self) -> None:
        """Release the lock."""
        await self._drop()
        await self._engine.dispose()

    async def _number(self, sql: str) -> int | None:
        ((value,),) = await self.rows(sql)
        return None if value is None else int(value)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.invalidate()
                await connection.close()
            except (SQLAlchemyError, OSError):
                pass


def server_error(error: SinkUnavailable) -> int | None:
    """The server's number of the error that `RebuildSession.rows` raised; None if it gave none."""
    return None if error.__cause__ is None else error_number(error.__cause__)
