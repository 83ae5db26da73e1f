"""Profiles after a fail-over: a changed master is given the last tags of the log again.

A promoted replica may miss writes that its master acknowledged, and a restarted master the last
second of its AOF (DESIGN 7). The log has them all. So whenever a master is one that was not
looked after yet, the tags of its slots are applied again: from a minute before all masters were
last known good, up to the end of the log. Members are equal for equal tags, so applying again
changes nothing.

How far "known good" reaches is committed every few seconds as the group's offsets of
``user_tags``: an outage of everything, this process included, is covered from there. Beside them
stands which masters those were: at our own start, the same ones need nothing, and if one is
another, all are looked after. Without that, each start would write the last minute again, while
new processes take the machine's time anyway.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from actors.errors import LogUnavailable, Unavailable
from actors.log.ports import Record
from actors.log.reading import UnreadableRecord, read_tag
from actors.log.topic_reader import TopicReader
from actors.profiles.masters import Masters
from actors.profiles.repair import ProfileWriter
from actors.settings import ActorSettings
from serve_app.core.clock import Clock
from serve_app.core.tag import UserTag
from serve_app.core.timestamps import format_tag_time

logger = logging.getLogger(__name__)


class ReplayLoop:
    """Watches the masters while `run` is awaited."""

    def __init__(
        self,
        *,
        reader: TopicReader,
        profiles: ProfileWriter,
        masters: Masters,
        clock: Clock,
        settings: ActorSettings,
    ) -> None:
        """``reader`` of ``user_tags``; closed and opened again after each failure."""
        self._reader = reader
        self._profiles = profiles
        self._masters = masters
        self._clock = clock
        self._settings = settings
        self._good: dict[str, str] = {}
        """As `Masters.run_ids` gave them: the masters that have all they should have."""
        self._good_ms: int | None = None
        """When all masters were last seen good, epoch ms; None before the first time."""
        self.committed: Mapping[int, int] = {}
        """Of each partition: profiles are right up to here at least, by what this process saw."""
        self._commit_at_s = 0.0
        self.beat_s = clock.monotonic()
        self.state = "starting"
        self.error: str | None = None
        self.replays = 0
        self.replayed = 0

    def document(self) -> dict[str, Any]:
        """Plain JSON types, for the status page."""
        good_ms = self._good_ms
        return {
            "state": self.state,
            "masters": dict(self._good),
            "committed": dict(self.committed),
            "good": None if good_ms is None else format_tag_time(good_ms, fraction=True),
            "replays": self.replays,
            "replayed_tags": self.replayed,
            "error": self.error,
        }

    async def run(self) -> None:
        """Work until cancelled; a store that is away is waited for."""
        while True:
            try:
                await self._reader.open()
                while True:
                    self._beat()
                    await self._look()
                    await self._clock.sleep(self._settings.shard_watch_interval_s)
            except Unavailable as unavailable:
                self.state, self.error = f"waiting: {unavailable}", str(unavailable)
                logger.warning("the replay of profiles waits: %s", unavailable)
            finally:
                await self._reader.close()
            await self._clock.sleep(self._settings.retry_s)

    async def _look(self) -> None:
        seen_ms = self._clock.now_ms()
        ids = await self._masters.run_ids()
        if ids is None:
            self.state = "waiting: a shard of the Redis Cluster has no master that answers"
            return
        if not self._good and await self._reader.note() == _digest(ids):
            logger.info("the Redis masters are those that were good before this start")
            self._good = ids
        changed = {name: run_id for name, run_id in ids.items() if self._good.get(name) != run_id}
        if changed:
            self.state = f"replaying for {', '.join(sorted(changed))}"
            logger.warning("new Redis masters %s: %s", sorted(changed), self.state)
            await self._replay(changed)
            if await self._masters.run_ids() != ids:
                # Changed once more meanwhile: what was just applied may be lost again.
                return
            self._good = ids
        self._good_ms = seen_ms
        self.state, self.error = "running", None
        if self._clock.monotonic() >= self._commit_at_s:
            offsets = await self._reader.offsets_at(self._start_ms(seen_ms))
            await self._reader.commit(offsets, _digest(ids))
            self.committed = offsets
            self._commit_at_s = self._clock.monotonic() + self._settings.replay_commit_interval_s

    async def _replay(self, changed: Mapping[str, str]) -> None:
        """Apply the tags of the changed masters' slots again."""
        start = await self._start()
        await self._clock.sleep(self._settings.replay_settle_s)
        ends = await self._reader.ends()
        left = {number for number, offset in start.items() if offset < ends[number]}
        self._reader.seek(start)
        came_s = self._clock.monotonic()
        while left:
            fetched = await self._reader.fetch(self._settings.repair_poll_records, 1.0)
            self._beat()
            if fetched:
                came_s = self.beat_s
            elif self.beat_s - came_s > self._settings.replay_patience_s:
                raise LogUnavailable(f"user_tags: nothing comes of partitions {sorted(left)}")
            tags = [
                tag
                for number, record in fetched
                if record.offset < ends[number]
                and (tag := _tag(record)) is not None
                # A tag of a slot without a known master counts as one of theirs.
                and self._masters.master_of(tag) in (None, *changed)
            ]
            await self._write(tags)
            for number, record in fetched:
                if record.offset + 1 >= ends[number]:
                    left.discard(number)
        self.replays += 1

    async def _write(self, tags: list[UserTag]) -> None:
        while tags:
            results = await self._profiles.write(tags)
            self.replayed += sum(result is None for result in results)
            tags = [tag for tag, result in zip(tags, results, strict=True) if result is not None]
            if tags:
                self.error = next(str(result) for result in results if result is not None)
                self._beat()
                await self._clock.sleep(self._settings.repair_retry_s)

    async def _start(self) -> Mapping[int, int]:
        """Offsets from which all is applied again, a partition each."""
        begins = await self._reader.begins()
        if self._good_ms is not None:
            recent = await self._reader.offsets_at(self._start_ms(self._good_ms))
            return {number: max(begin, recent[number]) for number, begin in begins.items()}
        # At our start: since when the masters are good is in the group's offsets. Without one,
        # nothing is known of what Redis has, and the whole log is applied.
        committed = await self._reader.committed()
        recent = await self._reader.offsets_at(self._start_ms(self._clock.now_ms()))
        return {
            number: max(begin, min(committed.get(number, begin), recent[number]))
            for number, begin in begins.items()
        }

    def _start_ms(self, good_ms: int) -> int:
        return max(0, good_ms - int(self._settings.replay_margin_s * 1000))

    def _beat(self) -> None:
        self.beat_s = self._clock.monotonic()


def _digest(ids: Mapping[str, str]) -> str:
    """SHA-256 in hexadecimal: Kafka keeps 4 KiB beside an offset, and masters may be many."""
    return hashlib.sha256(json.dumps(ids, sort_keys=True).encode()).hexdigest()


def _tag(record: Record) -> UserTag | None:
    try:
        return read_tag(record)
    except UnreadableRecord:
        # The partition actor sends it to the dead letters.
        return None
