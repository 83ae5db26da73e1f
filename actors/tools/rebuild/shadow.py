"""The tables beside the live ones: made empty, found again after a crash, swapped in.

The swap is one ``RENAME TABLE`` of all six names. MariaDB (10.6 and later) and MySQL (8.0 and
later) take the exclusive metadata locks of all of them before they rename the first, and a crash
leaves all or none renamed. A transaction keeps the metadata locks of the tables that it used until
it ends, so no flush can begin on the old offset row and end on the new tables: either it commits
first, or the RENAME is first and its UPDATE meets the new offset row. (A flush and a RENAME that
wait for each other are a deadlock; the server ends one of them, and both try again.)

What an actor has in memory begins at the old offset. If the new row holds another one, its UPDATE
matches nothing, and it drops the batch and goes on from there. If it holds the same, then the new
tables hold exactly what is before that offset, and the batch belongs on top.
"""

import logging
from typing import Final

from actors.aggregates.hour_partitions import CATCH_ALL
from actors.aggregates.tables import LIVE, OLD, SHADOW, Tables
from actors.errors import SinkUnavailable
from actors.tools.rebuild.errors import RebuildFailed
from actors.tools.rebuild.session import LOCK_REFUSED, NO_SUCH_TABLE, RebuildSession, server_error

logger = logging.getLogger(__name__)

PREPARE_ATTEMPTS: Final = 5
"""Actors change their table partitions at any time; a lock may be refused meanwhile."""


async def prepare(session: RebuildSession, *, fresh: bool) -> str | None:
    """Make the shadow tables, or find those of a rebuild that was cut off.

    Returns when that one began (UTC, as text), ``None`` for new tables. Tables of another form than
    the live ones (a migration came in between) or incomplete ones are recreated.

    Raises:
        SinkUnavailable: the database does not answer, or gave no lock in `PREPARE_ATTEMPTS`.
    """
    attempts = 1
    while True:
        try:
            return await _prepare(session, fresh=fresh)
        except SinkUnavailable as error:
            if server_error(error) not in LOCK_REFUSED or attempts == PREPARE_ATTEMPTS:
                raise
            attempts += 1


async def _prepare(session: RebuildSession, *, fresh: bool) -> str | None:
    await _drop(session, OLD)
    if not fresh and await _usable(session):
        ((began,),) = await session.rows(
            "SELECT CREATE_TIME FROM information_schema.TABLES "
            f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{SHADOW.offsets}'"
        )
        return str(began)
    await _drop(session, SHADOW)
    for shadow, live in zip(SHADOW.all, LIVE.all, strict=True):
        # The offsets come last: when they are there, so is all the rest.
        await session.rows(f"CREATE TABLE {shadow} LIKE {live}")
        if shadow != SHADOW.offsets:
            # The log begins before the live table's hours do.
            await session.rows(
                f"ALTER TABLE {shadow} PARTITION BY RANGE (bucket) "
                f"(PARTITION {CATCH_ALL} VALUES LESS THAN MAXVALUE)"
            )
    return None


async def swap(session: RebuildSession) -> bool:
    """Live becomes old and shadow becomes live; False if a lock was not granted in time.

    Raises:
        SinkUnavailable: the database does not answer; call again.
        RebuildFailed: the shadow tables are gone.
    """
    await session.hold()
    if not await _all_there(session, SHADOW):
        if await _all_there(session, OLD):
            # The answer to an earlier call was lost.
            return True
        raise RebuildFailed("the tables of this rebuild are gone: somebody dropped them")
    pairs = [
        f"{live} TO {old}, {shadow} TO {live}"
        for live, old, shadow in zip(LIVE.all, OLD.all, SHADOW.all, strict=True)
    ]
    try:
        await session.rows(f"RENAME TABLE {', '.join(pairs)}")
    except SinkUnavailable as error:
        if server_error(error) in LOCK_REFUSED:
            return False
        raise
    return True


async def drop_old(session: RebuildSession) -> None:
    """Remove what was live before the swap."""
    await _drop(session, OLD)


async def _drop(session: RebuildSession, tables: Tables) -> None:
    # The offsets first: without them the other two are recognised as left over.
    for table in reversed(tables.all):
        await session.rows(f"DROP TABLE IF EXISTS {table}")


async def _usable(session: RebuildSession) -> bool:
    # What the transaction has asked stays as it is until it ends.
    await session.rows("START TRANSACTION")
    try:
        if not (await _all_there(session, SHADOW) and await _all_there(session, LIVE)):
            return False
        for shadow, live in zip(SHADOW.all, LIVE.all, strict=True):
            if await _form(session, shadow) != await _form(session, live):
                logger.warning("%s has another form than %s: starting over", shadow, live)
                return False
        return True
    finally:
        await session.rows("COMMIT")


async def _all_there(session: RebuildSession, tables: Tables) -> bool:
    """Asks each table, which waits for DDL on it, also for what we left behind when we stopped.

    In MariaDB's information_schema a table is missing while its partitions are being changed.
    """
    for table in tables.all:
        try:
            await session.rows(f"SELECT 1 FROM {table} LIMIT 0")
        except SinkUnavailable as error:
            if server_error(error) == NO_SUCH_TABLE:
                return False
            raise
    return True


async def _form(session: RebuildSession, table: str) -> list[tuple[object, ...]]:
    where = f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
    columns = await session.rows(
        "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE FROM information_schema.COLUMNS "
        f"{where} ORDER BY ORDINAL_POSITION"
    )
    keys = await session.rows(
        "SELECT INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME FROM information_schema.STATISTICS "
        f"{where} ORDER BY 1, 2"
    )
    return [tuple(row) for row in (*columns, *keys)]
