"""A rebuild from start to end: make or find the shadow tables, count, swap, compare, clean up."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from actors.aggregates.tables import SHADOW
from actors.errors import StoreUnavailable
from actors.log.topic_reader import Offsets, TopicReader
from actors.settings import ActorSettings
from actors.tools.rebuild.compare import CountDifference, compare
from actors.tools.rebuild.counting import Counting
from actors.tools.rebuild.errors import RebuildRefused
from actors.tools.rebuild.loss import losses
from actors.tools.rebuild.session import RebuildSession
from actors.tools.rebuild.shadow import drop_old, prepare, swap
from serve_app.core.settings import Settings

LOOK_S: Final = 0.25
"""Seconds between two checks of the loops."""
ENDS_S: Final = 2.0
"""Seconds between two requests for the log's ends, which also keep the session alive."""
CAUGHT_UP_S: Final = 10.0
"""Counted up to ends that are at most this old, the swap may begin: what is missing then is
counted by the actors within seconds, long before the minute that an answer may wait."""


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """What a person can choose."""

    fresh: bool = False
    """Drop what a rebuild that was cut off has counted."""
    accept_loss: bool = False
    compare: bool = False
    keep_old: bool = False
    """Leave the tables that were live as ``…_old``."""


@dataclass(slots=True)
class Report:
    """What was done."""

    tags: int = 0
    """Counted, as far as was told: without a flush that committed just as counting was stopped."""
    rows: int = 0
    """Rows of both tables that were written; a row written twice counts twice."""
    late: int = 0
    """Tags older than what the tables keep, which were left out (see ``retention``)."""
    unreadable: int = 0
    seconds: float = 0.0
    offsets: dict[int, int] = field(default_factory=dict)
    """Next offset of each partition at the swap."""
    losses: tuple[str, ...] = ()
    differences: list[CountDifference] | None = None
    """Old against new, if that was asked for."""


class Watcher(Protocol):
    """Receives progress."""

    def say(self, line: str) -> None:
        """Print one line."""
        ...

    def counted(self, starts: Offsets, offsets: Mapping[int, int], ends: Offsets) -> None:
        """Progress of each partition: begun at, counted up to, log's end."""
        ...


async def rebuild(
    topic: str,
    *,
    stores: Settings,
    settings: ActorSettings,
    options: RebuildOptions,
    watcher: Watcher,
) -> Report:
    """Rebuild the aggregates of ``topic``.

    Raises:
        RebuildRefused: another one runs, or tags would be lost; nothing was changed.
        RebuildFailed: counting cannot go on; the live tables are as they were.
        StoreUnavailable: a store did not answer at the start. Later on it is waited for.
    """
    session = RebuildSession(stores)
    reader = TopicReader(topic, stores=stores, timeout_s=settings.log_timeout_s)
    try:
        await session.hold()
        await reader.open()
        return await _Rebuild(topic, session, reader, stores, settings, options, watcher).run()
    finally:
        await reader.close()
        await session.close()


class _Rebuild:
    def __init__(
        self,
        topic: str,
        session: RebuildSession,
        reader: TopicReader,
        stores: Settings,
        settings: ActorSettings,
        options: RebuildOptions,
        watcher: Watcher,
    ) -> None:
        self._topic = topic
        self._session = session
        self._reader = reader
        self._stores = stores
        self._settings = settings
        self._options = options
        self._watcher = watcher
        self._report = Report()
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._ends_s = 0.0
        """When they were asked for; all that arrived before lies below them."""
        self._looked_s = 0.0
        self._reader_open = True
        self._waiting: dict[int, str] = {}
        """Kafka partition → what it waits for."""

    async def run(self) -> Report:
        started_s = time.monotonic()
        await self._begin()
        while True:
            counting = Counting(
                self._topic, self._reader.partitions, stores=self._stores, settings=self._settings
            )
            async with counting:
                await self._catch_up(counting)
            for status in counting.statuses:
                self._report.tags += status.tags
                self._report.rows += status.rows
                self._report.late += status.late
                self._report.unreadable += status.dead_letters
            # The loops have ended, so no transaction of ours is open.
            if await self._swap():
                break
            self._watcher.say("the database is busy: counting on, and trying again")
        self._report.seconds = time.monotonic() - started_s
        self._watcher.say("swapped in")
        try:
            await self._finish()
        except StoreUnavailable as error:
            # The work is done; the next rebuild removes what is left over.
            self._watcher.say(f"{error}: the old tables stay for now, as …_old")
        return self._report

    async def _finish(self) -> None:
        if self._options.compare:
            self._report.differences = await compare(self._stores, self._settings, self._reader)
        if not self._options.keep_old:
            await self._session.hold()
            await drop_old(self._session)

    async def _begin(self) -> None:
        options = self._options
        begins = await self._reader.begins()
        began = await prepare(self._session, fresh=options.fresh)
        counted = await self._stored()
        self._starts = {**begins, **counted}
        self._report.losses = tuple(await losses(self._session, self._reader, begins, counted))
        if self._report.losses and not options.accept_loss:
            raise RebuildRefused(
                "\n".join(
                    (*self._report.losses, "The tables are as they were. --accept-loss goes on.")
                )
            )
        if began:
            self._watcher.say(
                f"going on with the rebuild that began {began} UTC (--fresh starts over)"
            )
        await self._look_up()

    async def _stored(self) -> dict[int, int]:
        rows = await self._session.rows(
            f"SELECT kafka_partition, next_offset FROM {SHADOW.offsets}"
        )
        return {int(partition): int(offset) for partition, offset in rows}

    async def _catch_up(self, counting: Counting) -> None:
        """Return when all is counted up to ends that are not older than `CAUGHT_UP_S`."""
        target, asked_s = dict(self._ends), self._ends_s
        while True:
            await asyncio.sleep(LOOK_S)
            counting.check()
            self._tell_waiting(counting)
            now_s = time.monotonic()
            if now_s - self._looked_s >= ENDS_S:
                await self._look_up()
            offsets = {
                partition: self._starts[partition] if offset is None else offset
                for partition, offset in counting.offsets().items()
            }
            self._watcher.counted(self._starts, offsets, self._ends)
            known = None not in counting.offsets().values()
            if known and all(offset >= target[p] for p, offset in offsets.items()):
                if now_s - asked_s <= CAUGHT_UP_S:
                    return
                target, asked_s = dict(self._ends), self._ends_s

    def _tell_waiting(self, counting: Counting) -> None:
        for status in counting.statuses:
            waiting = status.state if status.state.startswith("waiting") else ""
            if waiting and waiting != self._waiting.get(status.partition):
                self._watcher.say(f"partition {status.partition} {waiting}")
            self._waiting[status.partition] = waiting

    async def _look_up(self) -> None:
        """Ask for the log's ends and keep the session alive; waits for a store that is down."""
        asked_s = self._looked_s = time.monotonic()
        try:
            await self._session.hold()
            if not self._reader_open:
                await self._reader.open()
                self._reader_open = True
            self._ends = dict(await self._reader.ends())
            self._ends_s = asked_s
        except StoreUnavailable as error:
            self._watcher.say(f"waiting: {error}")
            await self._reader.close()
            self._reader_open = False

    async def _swap(self) -> bool:
        """Whether the shadow tables are live now."""
        for _ in range(3):
            try:
                await self._session.hold()
                self._report.offsets = await self._stored()
                if await swap(self._session):
                    return True
            except StoreUnavailable as error:
                self._watcher.say(f"waiting: {error}")
                await asyncio.sleep(self._settings.retry_s)
        return False
