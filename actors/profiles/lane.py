"""One position of one shard, moved along the log.

The position is stored in the shard. The lane reads the log from there, and moves the position only
together with the tags that it newly covers, and only from the value that the lane left it at. After
any error, and when something else has moved the position, the lane reads it again and goes on from
there.

The main lane covers the slots that the shard has. Slots that come from another shard have no
position that is true of this one: the arrivals lane applies the log to them from its beginning, and
then both positions become one.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from actors.errors import (
    Conflict,
    Fatal,
    LogTruncated,
    LogUnavailable,
    SlotElsewhere,
    StoreUnavailable,
    TopicReplaced,
    ViewConflict,
    ViewUnavailable,
)
from actors.log.entries import UnreadableRecord, cookie_of, read_entry
from actors.log.ports import Log, LogState, Record
from actors.profiles.ports import Copies, LoggedTag, ShardView
from actors.profiles.status import IDLE, RUNNING, STANDBY, FeedStatus
from actors.settings import ActorSettings
from serve_app.core.clock import Clock
from serve_app.core.erasure import Erasure
from serve_app.core.names import cookie_slot
from serve_app.core.position import Owner, ViewPosition, agreed, field_of
from serve_app.core.slots import SLOTS, Ranges, ranges_of, slots_of

logger = logging.getLogger(__name__)

Positions = Mapping[str, ViewPosition]
_REMEMBERED: Final = 256
_NEAR: Final = 1_000
"""Arrivals are merged into the main position once they are within this many records of it."""


class Lane:
    """Runs while `run` is awaited. Of two lanes on one position, one loses each race."""

    def __init__(
        self,
        partition: int,
        *,
        arrivals: bool,
        name: str,
        shard: ShardView,
        log: Log,
        clock: Clock,
        settings: ActorSettings,
        came_whole: Callable[[Ranges], Collection[int]] = lambda slots: (),
    ) -> None:
        """Performs no I/O.

        Args:
            partition: of the topic.
            arrivals: whether this is the lane of slots that came from another shard.
            name: of the shard, for the status.
            shard: where the position stands.
            log: the partition, this lane's own.
            clock: for pauses and the beat.
            settings: of the actors.
            came_whole: which of some arriving slots were complete in another shard just before, so
                that what is older than the log came with them.
        """
        self.status = FeedStatus(name, arrivals)
        self.beat_s = clock.monotonic()
        """When the loop last showed a sign of life; every wait in it is bounded."""
        self.settled: deque[tuple[Ranges, float]] = deque(maxlen=_REMEMBERED)
        """Slots that the position covered, and when it was last known to (monotonic), oldest
        first: a new entry when they change."""
        self._partition = partition
        self._main, self._arriving = field_of(partition), field_of(partition, arrivals=True)
        self._field = self._arriving if arrivals else self._main
        self._shard = shard
        self._log = log
        self._clock = clock
        self._settings = settings
        self._came_whole = came_whole
        self._owner = Owner("")
        self._position = ViewPosition("", 0, (), "")
        self._mine = bytearray(SLOTS)
        """1 for each slot that the next position will cover."""
        self._slots: Ranges = ()
        """The same as ranges."""
        self._log_state = LogState("", 0, 0)
        self._checked_log_s = 0.0
        self._checked_shard_s = 0.0
        """When the position was last confirmed; each move confirms it, too."""
        self._came: dict[int, bool] = {}
        """Slots of the shard that no position covers yet → whether they came whole."""
        self._stuck_at: int | None = None
        """The next offset at the last look at the log."""

    @property
    def node_id(self) -> str:
        """The master that it feeds; empty before it was asked."""
        return self._owner.node_id

    async def run(self) -> None:
        """Run until cancelled. Waits for stores that are down; only bugs raise."""
        try:
            while True:
                try:
                    await self._resume()
                    await self._work()
                except Conflict as conflict:
                    self.status.conflicts += 1
                    self._note(STANDBY, conflict, logging.INFO)
                    await self._stand_by()
                except Fatal as fatal:
                    self._note(f"failed: {fatal}", fatal, logging.ERROR)
                    await self._pause(self._settings.failed_retry_s)
                except StoreUnavailable as unavailable:
                    self._note(f"waiting: {unavailable}", unavailable, logging.WARNING)
                    await self._pause(self._settings.retry_s)
        finally:
            await self._log.close()

    # --- where to begin -------------------------------------------------------------------------

    async def _resume(self) -> None:
        """Read or claim the position, check it against the log, seek."""
        self._beat()
        owner, before = await self._shard.owner(), self._owner
        self._owner = owner
        if owner != before:
            # A master that started again may have lost what came.
            self._came.clear()
        if self.status.arrivals:
            await self._wait_for_arrivals()
        self._log_state = log = await self._ask_log()
        position = (await self._gathered()).get(self._field) or await self._claim(log)
        self._beat()
        if position.topic_id != log.topic_id:
            raise TopicReplaced(
                f"the topic was replaced: the profiles of shard {self.status.shard} are of topic "
                f"id {position.topic_id}, Kafka has {log.topic_id}. Restore the topic, or make "
                "the profiles forget their positions (rebuild profiles)"
            )
        if position.next_offset > log.end:
            raise LogTruncated(
                f"the profiles' next offset is {position.next_offset} but the log ends at "
                f"{log.end}: applied tags are gone from the log"
            )
        if position.next_offset < log.begin:
            logger.error(
                "shard %s, partition %d: the position is %d but the log begins at %d",
                self.status.shard,
                self._partition,
                position.next_offset,
                log.begin,
            )
            lost = replace(position, next_offset=log.begin, since=log.begin)
            await self._shard.move(self._field, position, lost)
            position = lost
        if position.owner != self._owner.text:
            # Readers check who wrote it, and a fail-over or a restart has changed that.
            stamped = replace(position, owner=self._owner.text)
            if position.node_id != self._owner.node_id:
                # The new master may not know of a slot's move that was under way.
                kept = slots_of(position.slots) - await self._shard.taken(position.node_id)
                stamped = replace(stamped, slots=ranges_of(kept))
            await self._shard.move(self._field, position, stamped)
            position = stamped
        await self._log.seek(position.next_offset)
        self._speak_of(slots_of(position.slots))
        self._settle(position)
        logger.info(
            "shard %s, partition %s goes on at %d",
            self.status.shard,
            self._field,
            position.next_offset,
        )
        self.status.state, self.status.error = RUNNING, None

    async def _wait_for_arrivals(self) -> None:
        idle = False
        while self._arriving not in await self._own_positions():
            if not idle:
                idle = True
                await self._log.close()
                status = self.status
                status.state, status.error = IDLE, None
                status.offset, status.slots, status.since = None, 0, 0
            await self._pause(2 * self._settings.view_check_interval_s)

    async def _own_positions(self) -> Positions:
        """What the shard's own copies of its positions agree on."""
        return self._agreed(await self._shard.positions())

    async def _gathered(self) -> Positions:
        """The same; the homes hold it then, and no other slot of the shard."""
        copies = await self._shard.positions()
        positions = self._agreed(copies)
        await self._shard.gather(copies, positions)
        return positions

    def _agreed(self, copies: Copies) -> Positions:
        # Of another shard's master: it came with its slot.
        return agreed(
            {name: one for name, one in fields.items() if self._owner.wrote(one)}
            for _, fields in copies
        )

    async def _claim(self, log: LogState) -> ViewPosition:
        """Start at the log's beginning: what the shard holds is unknown."""
        if self.status.arrivals:
            raise ViewConflict("the arrivals have been merged")
        self._came.clear()
        slots = self._shard.owned
        await self._shard.clear(slots)
        whole = slots_of(slots) <= set(self._came_whole(slots))
        position = self._claimed(log, slots, whole=whole)
        await self._shard.move(self._field, None, position)
        logger.warning(
            "shard %s has no position of partition %d: applying the log from offset %d",
            self.status.shard,
            self._partition,
            log.begin,
        )
        return position

    def _claimed(self, log: LogState, slots: Ranges, *, whole: bool) -> ViewPosition:
        """The position for ``slots`` before anything is applied."""
        since = 0 if whole else log.begin
        return ViewPosition(log.topic_id, log.begin, slots, self._owner.text, since)

    # --- going on -------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Fetch, apply, move; ends only with an exception."""
        settings = self._settings
        while True:
            self._beat()
            await self._check_owned()
            if self._slots != self._position.slots:
                # At once: a slot that has left may be back before the next record comes, maybe
                # with less in it.
                await self._move(self._position.next_offset, ())
            now_s = self._clock.monotonic()
            if now_s - self._checked_shard_s >= settings.view_check_interval_s:
                await self._check_shard()
            if now_s - self._checked_log_s >= settings.log_check_interval_s:
                await self._check_log()
            records = await self._log.fetch(settings.view_poll_records, settings.view_interval_s)
            if records:
                await self._apply(records)

    async def _apply(self, records: Sequence[Record]) -> None:
        """Apply some consecutive records to the shard, one pipeline at a time."""
        tags: list[LoggedTag] = []
        for record in records:
            if record.offset < self._position.next_offset:
                continue
            # Most records belong to other shards: do not decode those.
            cookie = cookie_of(record)
            if cookie is not None and not self._mine[cookie_slot(cookie)]:
                continue
            try:
                entry = read_entry(record)
            except UnreadableRecord:
                # The counting loop sends it to the dead letters.
                continue
            if isinstance(entry, Erasure):
                # Before the position moves past it; tags before it may be applied in any order.
                await self._erase(entry)
                continue
            tag, time_ms = entry
            slot = cookie_slot(tag.cookie)
            if self._mine[slot]:
                tags.append(LoggedTag(tag, time_ms, slot, record.offset, record.timestamp_ms))
                if len(tags) >= self._settings.view_pipeline_tags:
                    await self._move(record.offset + 1, tags)
                    tags = []
        await self._move(records[-1].offset + 1, tags)

    async def _move(self, next_offset: int, tags: Sequence[LoggedTag]) -> None:
        """Move the position over ``tags``, leaving out slots that turn out to be elsewhere."""
        while True:
            old = self._position
            next_offset = max(next_offset, old.next_offset)
            if next_offset == old.next_offset and self._slots == old.slots and not tags:
                return
            new = replace(old, next_offset=next_offset, slots=self._slots, owner=self._owner.text)
            gone = await self._shard.move(self._field, old, new, tags)
            self._beat()
            if not gone:
                self.status.applied += len(tags)
                self._settle(new)
                return
            self._speak_of(slots_of(self._slots) - gone)
            tags = [one for one in tags if one.slot not in gone]

    async def _erase(self, erasure: Erasure) -> None:
        if not self._mine[cookie_slot(erasure.cookie)]:
            return
        try:
            news = await self._shard.erase(self._field, self._position.topic_id, erasure)
        except SlotElsewhere:
            self._speak_of(slots_of(self._slots) - {cookie_slot(erasure.cookie)})
            return
        if news:
            self.status.erased += 1
            raise ViewConflict(f"shard {self.status.shard}: a cookie was erased")

    def _speak_of(self, slots: Collection[int]) -> None:
        self._mine = bytearray(SLOTS)
        for slot in slots:
            self._mine[slot] = 1
        self._slots = ranges_of(slots)

    # --- looking around -------------------------------------------------------------------------

    async def _check_owned(self) -> None:
        """Stop covering slots that have gone to other shards, as the map and the master say."""
        owned = self._shard.owned
        if not owned:
            raise ViewUnavailable(f"shard {self.status.shard} is no master any more")
        if owned != self._slots and not slots_of(self._slots) <= slots_of(owned):
            kept = slots_of(owned) | await self._shard.owned_now()
            self._speak_of(slots_of(self._slots) & kept)

    async def _check_shard(self) -> None:
        """Check that the position is unchanged, and whether slots have come or can be merged.

        Raises:
            ViewConflict: it has changed: the shard was emptied or restored, or another lane moved
                it.
        """
        stored = await self._gathered()
        if stored.get(self._field) != self._position:
            raise ViewConflict(f"shard {self.status.shard}: its position was changed")
        self._checked_shard_s = self._clock.monotonic()
        self._remember()
        if self.status.arrivals:
            await self._merge(stored)
        elif self._look_at_new(stored) and self._arriving not in stored:
            await self._welcome()

    def _look_at_new(self, stored: Positions) -> bool:
        """Note of slots that have just come whether they came whole; whether there are any.

        At once: that can be told for a minute, and they may have to wait for longer until those
        that came before them are merged.
        """
        owned = self._shard.owned
        if owned == self._slots:
            self._came.clear()
            return False
        new = slots_of(owned) - slots_of(self._slots)
        if self._arriving in stored:
            new -= slots_of(stored[self._arriving].slots)
        self._came = {slot: whole for slot, whole in self._came.items() if slot in new}
        if unknown := new - self._came.keys():
            whole = set(self._came_whole(ranges_of(unknown)))
            self._came |= {slot: slot in whole for slot in unknown}
        return bool(new)

    async def _welcome(self) -> None:
        """Start a position for slots of the shard that no position covers."""
        # Not for a slot that is about to leave: not all of its keys are here.
        new = self._came.keys() - await self._shard.taken()
        if not new:
            return
        log = self._log_state = await self._ask_log()
        if log.topic_id != self._position.topic_id:
            return
        # One that may lack something holds up no other.
        whole = {slot for slot in new if log.begin == 0 or self._came[slot]}
        slots = ranges_of(whole or new)
        # A copy of the positions of the shard that they come from: with it, they would speak of
        # what that shard has by then, should they come back to it.
        await self._shard.clear(slots)
        position = self._claimed(log, slots, whole=bool(whole))
        await self._shard.move(self._arriving, None, position)
        logger.info("shard %s, partition %d: slots came", self.status.shard, self._partition)

    async def _merge(self, stored: Positions) -> None:
        """Merge the arrivals into the main position, once they have nearly caught up with it."""
        main, mine = stored.get(self._main), self._position
        if main is None:
            return
        merged = main
        if self._slots:
            if mine.since or mine.next_offset + _NEAR < main.next_offset:
                return
            merged = replace(
                main,
                next_offset=min(main.next_offset, mine.next_offset),
                slots=ranges_of(slots_of(main.slots) | slots_of(self._slots)),
            )
        await self._shard.merge((self._main, main, merged), (self._arriving, mine))
        raise ViewConflict(f"shard {self.status.shard}: the arrivals have been merged")

    async def _check_log(self) -> None:
        """Check that the topic is the same, and that Kafka delivers what it has.

        Raises:
            TopicReplaced: `_resume` says so after a look.
            LogUnavailable: a client may not find a partition again that moved when its broker
                died, and just stays empty; a new one does.
        """
        before, at = self._log_state, self._position.next_offset
        log = await self._ask_log()
        if log.topic_id != self._position.topic_id:
            raise ViewConflict("the topic was replaced")
        if before.end > at == self._stuck_at:
            await self._log.close()
            raise LogUnavailable("Kafka has records and does not hand them over")
        self._log_state, self._stuck_at = log, at
        self.status.log_end = max(log.end, at)

    async def _ask_log(self) -> LogState:
        log = await self._log.state()
        self._checked_log_s = self._clock.monotonic()
        return log

    async def _stand_by(self) -> None:
        """Return once the position has not moved for some intervals, or at once if it went back.

        A position that another instance moves is being looked after; one that went back (after a
        fail-over, an erasure or a tool) is not yet.
        """
        left_at, quiet = self._position.next_offset, 0
        await self._pause(self._settings.view_interval_s / 4)
        while quiet < self._settings.stand_by_intervals:
            try:
                stored = (await self._own_positions()).get(self._field)
            except StoreUnavailable:
                return
            if stored is None or stored.next_offset <= left_at:
                return
            moved = stored.next_offset != self.status.offset
            quiet = 0 if moved else quiet + 1
            self.status.offset = stored.next_offset
            await self._pause(self._settings.view_interval_s)

    # --- accounts -------------------------------------------------------------------------------

    def _settle(self, position: ViewPosition) -> None:
        self._position = position
        if not self.status.arrivals and self._shard.owned == position.slots:
            # And no slot has come that a check of the shard would pick up.
            self._checked_shard_s = self._clock.monotonic()
        self._remember()
        status = self.status
        status.offset, status.since = position.next_offset, position.since
        status.slots = sum(last + 1 - first for first, last in position.slots)
        status.log_end = max(self._log_state.end, position.next_offset)

    def _remember(self) -> None:
        slots, now_s = self._position.slots, self._clock.monotonic()
        if self._position.since:
            return
        if self.settled and self.settled[-1][0] == slots:
            self.settled.pop()
        self.settled.append((slots, now_s))

    def _beat(self) -> None:
        self.beat_s = self._clock.monotonic()

    async def _pause(self, seconds: float) -> None:
        self._beat()
        await self._clock.sleep(seconds)
        self._beat()

    def _note(self, state: str, error: Exception, level: int) -> None:
        if state != self.status.state:
            logger.log(
                level,
                "profiles of shard %s, partition %s: %s (%s)",
                self.status.shard,
                self._field,
                state,
                error,
            )
        self.status.state = state
        self.status.error = f"{type(error).__name__}: {error}"
