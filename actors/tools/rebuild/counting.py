"""Counts every partition of the log into the shadow tables, with the actors' own loop and sink."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from typing_extensions import override

from actors.aggregates.counting import PartitionActor
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.status import PartitionStatus
from actors.aggregates.table_partitions import TablePartitions
from actors.aggregates.tables import SHADOW
from actors.log.kafka_log import KafkaLog
from actors.log.ports import DeadLetter, DeadLetters
from actors.settings import ActorSettings
from actors.tools.rebuild.errors import RebuildFailed
from serve_app.core.clock import SystemClock
from serve_app.core.settings import Settings


class Counting:
    """The loops run within the context, each with bounded memory.

    At its end, uncommitted counts are dropped; the next context goes on from the committed offset.
    """

    def __init__(
        self, topic: str, partitions: Sequence[int], *, stores: Settings, settings: ActorSettings
    ) -> None:
        clock = SystemClock()
        ddl_sessions = Database(
            stores, settings, lock_wait_timeout=settings.ddl_lock_wait_timeout_s
        )
        self._tables = TablePartitions(ddl_sessions, settings=settings, clock=clock, tables=SHADOW)
        self._logs = [KafkaLog(topic, p, stores=stores, settings=settings) for p in partitions]
        self._sinks = [
            MySQLSink(p, database=Database(stores, settings), settings=settings, tables=SHADOW)
            for p in partitions
        ]
        self._actors = [
            PartitionActor(
                partition,
                log=log,
                sink=sink,
                dead_letters=_Known(),
                clock=clock,
                settings=settings,
                on_flushed=self._tables.flushed,
                # What that loses was reported, and accepted (actors/tools/rebuild/loss.py).
                may_begin_late=True,
            )
            for partition, log, sink in zip(partitions, self._logs, self._sinks, strict=True)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def statuses(self) -> list[PartitionStatus]:
        """The loops' status, in the form of the live actors'."""
        return [actor.status for actor in self._actors]

    def offsets(self) -> Mapping[int, int | None]:
        """Committed next offset of each partition; None before it is known."""
        return {status.partition: status.offset for status in self.statuses}

    def check(self) -> None:
        """Raises ``RebuildFailed`` when a partition cannot be counted on."""
        for task in self._tasks:
            if task.done():
                raise RebuildFailed(f"{task.get_name()} has ended: {task.exception()!r}")
        for status in self.statuses:
            if status.state.startswith("failed"):
                raise RebuildFailed(f"partition {status.partition} {status.state}")

    async def __aenter__(self) -> Self:
        loops = [(f"partition {a.status.partition}", a.run()) for a in self._actors]
        loops.append(("table partitions", self._tables.run()))
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; returns when no transaction of ours is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(
            *(log.close() for log in self._logs),
            *(sink.close() for sink in self._sinks),
            self._tables.close(),
        )


class _Known(DeadLetters):
    """Discards dead letters: the live actors have sent them already."""

    @override
    async def send(self, letters: Sequence[DeadLetter]) -> None:
        pass

    @override
    async def close(self) -> None:
        pass
