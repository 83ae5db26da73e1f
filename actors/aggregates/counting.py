"""The loop of one partition: log → batch → tables, each tag counted exactly once.

How (docs/architecture.md, I2): the offset stored with the counts is the only truth. The loop reads
it, seeks there, and moves forward only by flushes, each of which replaces the offset that it
started from. After any error it drops what is in memory and reads the offset again. While one batch
is written the next one fills; there is never a third, so memory is bounded.
"""

import asyncio
import logging
from collections.abc import Callable

from actors.aggregates.batch import Batch
from actors.aggregates.pending import Pending
from actors.aggregates.ports import FlushReport, Position, Sink
from actors.aggregates.status import RUNNING, STAND_BY, PartitionStatus
from actors.errors import (
    Conflict,
    Fatal,
    LogTruncated,
    LogUnavailable,
    StoreUnavailable,
    TopicReplaced,
)
from actors.log.ports import DeadLetters, Log, LogState
from actors.settings import ActorSettings
from serve_app.core.clock import Clock

logger = logging.getLogger(__name__)

FLUSH_POLL_S = 0.05
"""A fetch waits no longer than this while a flush is running, so that its end is noticed."""


class PartitionActor:
    """Counts the tags of one partition for as long as `run` is awaited.

    It needs no lock: a second instance on the same partition loses the race for the offset row,
    and is on standby for as long as the first one makes progress.
    """

    def __init__(
        self,
        partition: int,
        *,
        log: Log,
        sink: Sink,
        dead_letters: DeadLetters,
        clock: Clock,
        settings: ActorSettings,
        on_flushed: Callable[[Batch], None] = lambda batch: None,
        may_begin_late: bool = False,
    ) -> None:
        """Performs no I/O.

        Args:
            partition: of the topic of tags.
            log: the same partition's records.
            sink: its tables.
            dead_letters: for records that are no tags.
            clock: for waits and beats.
            settings: of the actors.
            on_flushed: called after each commit; must be quick.
            may_begin_late: count from the log's begin also where retention has moved that; what
                came before is then missing, and nothing says so.
        """
        self._log = log
        self._sink = sink
        self._dead_letters = dead_letters
        self._clock = clock
        self._settings = settings
        self._on_flushed = on_flushed
        self._may_begin_late = may_begin_late
        self.status = PartitionStatus(partition)
        self._beat_s = clock.monotonic()
        self._checked_s = clock.monotonic()
        """When the log was last asked for its state."""
        self._position = Position("", 0, None)
        """As stored; moves when a flush is committed."""
        self._pending = Pending(settings, 0)
        self._flush: asyncio.Task[None] | None = None

    def seconds_since_beat(self) -> float:
        """Seconds since the loop last showed a sign of life; every wait in it is bounded."""
        return self._clock.monotonic() - self._beat_s

    async def run(self) -> None:
        """Run until cancelled. Waits for stores that are down; only bugs raise."""
        lost_race = False
        try:
            while True:
                try:
                    if lost_race:
                        await self._stand_by()
                        lost_race = False
                    await self._resume()
                    await self._work()
                except Conflict as conflict:
                    await self._discard()
                    lost_race = True
                    self.status.conflicts += 1
                    self._note(STAND_BY, conflict)
                except Fatal as fatal:
                    await self._discard()
                    self._note(f"failed: {fatal}", fatal, level=logging.ERROR)
                    await self._pause(self._settings.failed_retry_s)
                except StoreUnavailable as unavailable:
                    await self._discard()
                    self._note(f"waiting: {unavailable}", unavailable)
                    await self._pause(self._settings.retry_s)
        finally:
            await self._discard()

    async def _resume(self) -> None:
        """Read (or claim) the stored position, check it against the log, seek."""
        self._beat()
        log = await self._ask_log()
        self._beat()
        position = await self._sink.position()
        if position is None:
            if log.begin > 0 and not self._may_begin_late:
                raise LogTruncated(
                    f"nothing is counted yet, and the log begins at {log.begin}: minutes before "
                    "that would be answered short. Restore the tables from a backup, or accept "
                    "the loss (rebuild aggregates --accept-loss)"
                )
            position = await self._sink.claim(Position(log.topic_id, log.begin, None))
        self._beat()
        check_topic(position, log)
        check_ends(position, log)
        await self._log.seek(position.next_offset)
        self._pending = Pending(self._settings, position.next_offset)
        self._settle(position, log)
        logger.info("partition %d goes on at %d", self.status.partition, position.next_offset)
        self.status.state = RUNNING

    async def _work(self) -> None:
        """Fetch, count, flush; ends only with an exception."""
        settings = self._settings
        # Offset at the last look at an idle log.
        idle_at: int | None = None
        while True:
            self._beat()
            now_s = self._clock.monotonic()
            wait_s = settings.flush_interval_s
            if self._flush is not None:
                # A full batch behind a running flush: no more fetching until there is room.
                if self._flush.done() or self._pending.full:
                    await self._flush_end()
                    continue
                wait_s = FLUSH_POLL_S
            elif self._pending:
                wait_s = self._pending.due_in_s(now_s)
                if wait_s <= 0:
                    self._start_flush()
                    continue
            elif now_s - self._checked_s >= settings.log_check_interval_s:
                # Nothing comes in: is the log idle, or is Kafka down?
                before = self.status.log_end
                log = await self._ask_log()
                check_topic(self._position, log)
                if before is not None and before > self._position.next_offset == idle_at:
                    # A client may lose a partition that moved when its broker died, and just
                    # stays empty; a new client finds it.
                    await self._log.close()
                    raise LogUnavailable("Kafka has records and does not hand them over")
                idle_at = self._position.next_offset
                # No flush would notice, either, that a rebuild has replaced the tables.
                if await self._sink.position() != self._position:
                    raise Conflict(f"the stored offset is not {self._position.next_offset}")
                self._settle(self._position, log)
            for record in await self._log.fetch(settings.poll_records, wait_s):
                missing = self._pending.take(record, now_s)
                if missing:
                    self._note_gap(record.offset, missing)

    def _start_flush(self) -> None:
        pending, old = self._pending, self._position
        marks = [
            mark for mark in (old.watermark_ms, pending.batch.watermark_ms) if mark is not None
        ]
        new = Position(old.topic_id, pending.next_offset, max(marks, default=None))
        self._pending = Pending(self._settings, pending.next_offset)
        self._flush = asyncio.create_task(self._write(pending, old, new))

    async def _write(self, pending: Pending, old: Position, new: Position) -> None:
        started_s = self._clock.monotonic()
        # Asked after the fetch: so these records came from the topic in the answer.
        log = await self._ask_log()
        check_topic(old, log)
        if pending.letters:
            await self._dead_letters.send(pending.letters)
        report = await self._sink.flush(pending.batch, old, new)
        self._settle(new, log)
        self._count(pending, report, (self._clock.monotonic() - started_s) * 1000)
        self._on_flushed(pending.batch)

    async def _flush_end(self) -> None:
        """Wait for the running flush; raises what it raised."""
        flush = self._flush
        if flush is not None:
            await asyncio.wait({flush})
            self._flush = None
            flush.result()

    async def _discard(self) -> None:
        """Drop everything that is not committed, a running flush included."""
        flush, self._flush = self._flush, None
        if flush is not None:
            flush.cancel()
            await asyncio.gather(flush, return_exceptions=True)
        self._pending = Pending(self._settings, self._position.next_offset)

    async def _stand_by(self) -> None:
        """Return once the stored offset has not moved for some flush intervals."""
        quiet = -1
        while quiet < self._settings.stand_by_intervals:
            position = await self._sink.position()
            offset = None if position is None else position.next_offset
            quiet = quiet + 1 if offset == self.status.offset else 0
            self.status.offset = offset
            if quiet < self._settings.stand_by_intervals:
                await self._pause(self._settings.flush_interval_s)

    async def _ask_log(self) -> LogState:
        log = await self._log.state()
        self._checked_s = self._clock.monotonic()
        return log

    async def _pause(self, seconds: float) -> None:
        self._beat()
        await self._clock.sleep(seconds)
        self._beat()

    def _beat(self) -> None:
        self._beat_s = self._clock.monotonic()

    def _settle(self, position: Position, log: LogState) -> None:
        self._position = position
        self.status.offset = position.next_offset
        self.status.log_end = max(log.end, position.next_offset)
        self.status.watermark_ms = position.watermark_ms

    def _count(self, pending: Pending, report: FlushReport, duration_ms: float) -> None:
        status = self.status
        status.last_flush_at_ms = self._clock.now_ms()
        status.last_flush_rows = report.rows
        status.last_flush_ms = round(duration_ms, 1)
        status.rows += report.rows
        status.tags += pending.batch.tags - report.late
        status.late += report.late
        status.capped_names += report.capped_names
        status.dead_letters += len(pending.letters)
        status.error = None

    def _note(self, state: str, error: Exception, level: int = logging.WARNING) -> None:
        if state != self.status.state:
            logger.log(level, "partition %d %s (%s)", self.status.partition, state, error)
        self.status.state = state
        self.status.error = f"{type(error).__name__}: {error}"

    def _note_gap(self, offset: int, missing: int) -> None:
        self.status.gaps += missing
        logger.error(
            "partition %d: %d offsets before %d are not in the log",
            self.status.partition,
            missing,
            offset,
        )


def check_topic(position: Position, log: LogState) -> None:
    """Check that the tables were counted from this topic; raises ``TopicReplaced``."""
    if position.topic_id != log.topic_id:
        raise TopicReplaced(
            f"the topic was replaced: the tables belong to topic id {position.topic_id}, "
            f"Kafka has {log.topic_id}. Restore the topic, or empty the tables and "
            "partition_offsets to count the new one from its start"
        )


def check_ends(position: Position, log: LogState) -> None:
    """Check that the log has the next offset; raises ``LogTruncated``."""
    if position.next_offset < log.begin:
        raise LogTruncated(
            f"the next offset is {position.next_offset} but the log begins at {log.begin}: "
            f"{log.begin - position.next_offset} tags were never counted"
        )
    if position.next_offset > log.end:
        raise LogTruncated(
            f"the next offset is {position.next_offset} but the log ends at {log.end}: "
            "counted tags are gone from the log"
        )
