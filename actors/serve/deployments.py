"""The classes behind the Serve deployments of ``case3``: loops of ``actors`` in Ray actors.

Each starts its work in the constructor and does not wait: a store that is down, or another instance
that has the partition, shows in the status, and never in readiness or health.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from actors.aggregates.batch import Batch
from actors.aggregates.counting import PartitionActor
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.name_metrics import NameMetrics
from actors.aggregates.table_partitions import TablePartitions
from actors.log.dead_letters import KafkaDeadLetters
from actors.log.shared_log import shared_log
from actors.profiles.view import profile_view
from actors.serve.gc_tuning import collect_seldom
from actors.serve.metrics import PartitionMetrics
from actors.settings import actor_settings
from serve_app.core.clock import SystemClock
from serve_app.core.settings import settings
from serve_app.priority import to_normal
from serve_app.ray_logs import log_like_serve
from serve_app.ray_metrics import RayRecorder

DEAD_LETTER_TIMEOUT_S = 10.0


class Unhealthy(RuntimeError):
    """Serve restarts the replica that raises this from its health check."""


class _Loops:
    """Tasks that must never end by themselves."""

    def __init__(self) -> None:
        log_like_serve()
        to_normal()
        self._tasks: list[asyncio.Task[None]] = []
        self.recorder = RayRecorder()
        self.start("metrics", self.recorder.run())

    def start(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(loop, name=name))

    def check(self) -> None:
        """Raises ``Unhealthy`` if one has ended."""
        for task in self._tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                raise Unhealthy(f"{task.get_name()} has ended: {error!r}") from error

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class PartitionDeployment:
    """Feeds both views of one partition of ``user_tags``, each by itself."""

    async def __init__(self, partition: int) -> None:  # type: ignore[misc]  # Serve awaits it
        """Bound to ``partition`` for its whole life."""
        collect_seldom()
        stores, own, clock = settings(), actor_settings(), SystemClock()
        log = shared_log(partition, stores=stores, settings=own)
        self._log = log.reader()
        self._sink = MySQLSink(partition, database=Database(stores, own), settings=own)
        self._dead_letters = KafkaDeadLetters(
            partition, stores=stores, timeout_s=DEAD_LETTER_TIMEOUT_S
        )
        ddl_sessions = Database(stores, own, lock_wait_timeout=own.ddl_lock_wait_timeout_s)
        self._tables = TablePartitions(ddl_sessions, settings=own, clock=clock)
        self._actor = PartitionActor(
            partition,
            log=self._log,
            sink=self._sink,
            dead_letters=self._dead_letters,
            clock=clock,
            settings=own,
            on_flushed=self._flushed,
        )
        self._profiles = profile_view(
            partition, open_log=log.reader, stores=stores, settings=own, clock=clock
        )
        self._stuck_after_s = own.stuck_after_s
        self._loops = _Loops()
        self._metrics = PartitionMetrics(self._loops.recorder, self._actor.status, self._profiles)
        self._loops.recorder.before_publishing(self._metrics.collect)
        names = NameMetrics(self._loops.recorder, self._tables.names)
        self._loops.recorder.before_publishing(names.collect)
        self._loops.start(f"partition {partition}", self._actor.run())
        self._loops.start(f"table partitions of {partition}", self._tables.run())
        self._loops.start(f"profiles of partition {partition}", self._profiles.run())

    async def status(self) -> dict[str, Any]:
        """The document of ``PartitionStatus``, with one document per shard under ``profiles``."""
        return {**self._actor.status.document(), "profiles": self._profiles.document()}

    async def check_health(self) -> None:
        """Serve calls this; raises when a loop has died or hangs, never for a missing store."""
        self._loops.check()
        silent_s = max(self._actor.seconds_since_beat(), self._profiles.seconds_since_beat())
        if silent_s > self._stuck_after_s:
            raise Unhealthy(f"a loop has shown no sign of life for {silent_s:.0f} s")

    def _flushed(self, batch: Batch) -> None:
        self._tables.flushed(batch)
        self._metrics.flushed()

    async def __del__(self) -> None:
        """Serve awaits this before it ends the replica: what is not committed is dropped."""
        await self._loops.stop()
        await self._log.close()
        await self._dead_letters.close()
        await self._sink.close()
        await self._tables.close()
