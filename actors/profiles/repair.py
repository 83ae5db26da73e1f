"""Profiles that Redis is still owed: the topic ``profile_repairs``, applied until it holds.

Apart from aggregation and never in its way. A tag whose shard is away waits in memory while tags
of other shards go on; the committed offset stays before the oldest one that waits, so nothing is
lost with this process. Applying a tag twice changes nothing.

A second loop in another process stands by: it reads along, and applies what the first one has not
committed after a pause that is far shorter than the ten seconds of the contract. Serve needs up to
ten to bring a loop back that was killed (it looks for dead replicas every five, and starts a
process), and through all of that every profile query would wait.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actors.errors import LogUnavailable, Unavailable
from actors.log.ports import DeadLetter, DeadLetters
from actors.log.reading import UnreadableRecord, read_tag
from actors.log.topic_reader import Offsets, TopicReader
from actors.settings import ActorSettings
from serve_app.core.clock import Clock
from serve_app.core.tag import UserTag

logger = logging.getLogger(__name__)


class ProfileWriter(Protocol):
    """``serve_app.stores.profiles.Profiles``, as far as it is needed here."""

    async def write(self, tags: Sequence[UserTag]) -> Sequence[Exception | None]:
        """Add tags to their profiles; None in the place of each that is acknowledged."""
        ...


@dataclass(frozen=True, slots=True)
class Owed:
    """A record that is not dealt with yet: a tag that Redis has not acknowledged, or no tag."""

    partition: int
    offset: int
    content: UserTag | DeadLetter
    since_s: float
    """Monotonic seconds at which it was read."""


class RepairLoop:
    """Works while `run` is awaited."""

    def __init__(
        self,
        *,
        reader: TopicReader,
        profiles: ProfileWriter,
        dead_letters: DeadLetters,
        clock: Clock,
        settings: ActorSettings,
        stand_by_s: float = 0.0,
    ) -> None:
        """``reader`` of ``profile_repairs``; closed and opened again after each failure.

        With ``stand_by_s`` above 0, what is younger is left to another loop of the same group,
        and what that one has committed is done.
        """
        self._reader = reader
        self._profiles = profiles
        self._dead_letters = dead_letters
        self._clock = clock
        self._settings = settings
        self._stand_by_s = stand_by_s
        self._owed: deque[Owed] = deque()
        """In the order in which they were read."""
        self._try_again_s = 0.0
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._ends: Offsets = {}
        self._reached: Offsets = {}
        """Next offsets when `_ends` was asked for."""
        self._ends_at_s = 0.0
        self.beat_s = clock.monotonic()
        self.state = "starting"
        self.error: str | None = None
        self.applied = 0
        self.dead = 0

    def document(self) -> dict[str, Any]:
        """Plain JSON types, for the status page."""
        return {
            "state": self.state,
            "lag": sum(
                max(0, end - self._committed.get(partition, 0))
                for partition, end in self._ends.items()
            ),
            "owed": len(self._owed),
            "applied": self.applied,
            "dead_letters": self.dead,
            "error": self.error,
        }

    async def run(self) -> None:
        """Work until cancelled; a store that is away is waited for."""
        while True:
            try:
                await self._open()
                while True:
                    self.beat_s = self._clock.monotonic()
                    await self._fetch()
                    if await self._is_due():
                        await self._apply()
                    await self._commit()
                    if self._clock.monotonic() >= self._ends_at_s:
                        await self._look_at_ends()
            except Unavailable as unavailable:
                self.state = f"waiting: {unavailable}"
                self.error = str(unavailable)
                logger.warning("profile repairs wait: %s", unavailable)
            finally:
                await self._reader.close()
            await self._clock.sleep(self._settings.retry_s)

    async def _open(self) -> None:
        await self._reader.open()
        begins, committed = await self._reader.begins(), await self._reader.committed()
        for partition, begin in begins.items():
            if committed.get(partition, begin) < begin:
                logger.error("profile_repairs: partition %d lost records unapplied", partition)
        self._next = {
            partition: max(begin, committed.get(partition, begin))
            for partition, begin in begins.items()
        }
        self._owed.clear()
        self._ends, self._reached = {}, {}
        self._reader.seek(self._next)
        self._committed = {**begins, **committed}
        self.state, self.error = "running", None

    async def _look_at_ends(self) -> None:
        """Whether Kafka is there at all, and hands over what it has: a fetch just stays empty.

        Raises:
            LogUnavailable: not so. A client may not find a partition again that moved when its
                broker died; a new one does.
        """
        reached = dict(self._next)
        stuck = [
            partition
            for partition, end in self._ends.items()
            if reached[partition] < end and reached[partition] == self._reached.get(partition)
        ]
        if stuck and len(self._owed) < self._settings.repair_window:
            raise LogUnavailable(f"profile_repairs: nothing comes of partitions {stuck}")
        self._ends, self._reached = await self._reader.ends(), reached
        # Of two loops, the slower one may just have committed less than the other had before, and
        # then have died: whoever lives puts that right.
        self._committed |= await self._reader.committed()
        self._ends_at_s = self._clock.monotonic() + self._settings.log_check_interval_s

    async def _fetch(self) -> None:
        settings = self._settings
        if len(self._owed) >= settings.repair_window:
            await self._clock.sleep(settings.repair_retry_s)
            return
        wait_s = settings.repair_retry_s if self._owed else settings.retry_s
        records = await self._reader.fetch(settings.repair_poll_records, wait_s)
        now_s = self._clock.monotonic()
        for partition, record in records:
            content: UserTag | DeadLetter
            try:
                content = read_tag(record)
            except UnreadableRecord as unreadable:
                content = DeadLetter(record, f"profile_repairs: {unreadable}")
            self._owed.append(Owed(partition, record.offset, content, now_s))
            self._next[partition] = record.offset + 1

    async def _is_due(self) -> bool:
        """Whether to apply what is owed; standing by, only what the other one does not."""
        if not self._stand_by_s or not self._owed:
            # With nothing owed there is nothing to apply but the state, which may still say that
            # it waits for what the other one has done since.
            return True
        now_s = self._clock.monotonic()
        if now_s < self._try_again_s or not self._is_old(now_s):
            return False
        self._committed |= await self._reader.committed()
        self._owed = deque(
            owed for owed in self._owed if owed.offset >= self._committed.get(owed.partition, 0)
        )
        if not self._is_old(now_s):
            return False
        # Redis may be what is away: then the other one tries every moment.
        self._try_again_s = now_s + self._stand_by_s
        return True

    def _is_old(self, now_s: float) -> bool:
        return bool(self._owed) and now_s >= self._owed[0].since_s + self._stand_by_s

    async def _apply(self) -> None:
        waiting: deque[Owed] = deque()
        error: Exception | None = None
        while self._owed:
            count = min(len(self._owed), self._settings.repair_poll_records)
            part = [self._owed.popleft() for _ in range(count)]
            letters = [owed.content for owed in part if isinstance(owed.content, DeadLetter)]
            if letters:
                # Before the commit that steps over them.
                await self._dead_letters.send(letters)
                self.dead += len(letters)
            tags = [(owed, owed.content) for owed in part if isinstance(owed.content, UserTag)]
            results = await self._profiles.write([tag for _, tag in tags])
            for (owed, _), result in zip(tags, results, strict=True):
                if result is None:
                    self.applied += 1
                else:
                    error = result
                    waiting.append(owed)
            self.beat_s = self._clock.monotonic()
        self._owed = waiting
        self.state = f"waiting: {error}" if error else "running"
        self.error = str(error) if error else None

    async def _commit(self) -> None:
        done = dict(self._next)
        for owed in self._owed:
            done[owed.partition] = min(done[owed.partition], owed.offset)
        moved: Offsets = {
            partition: offset
            for partition, offset in done.items()
            if offset > self._committed.get(partition, -1)
        }
        if moved:
            await self._reader.commit(moved)
            self._committed |= moved
