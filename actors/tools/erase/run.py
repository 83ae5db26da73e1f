"""An erasure from start to end.

What makes it hold is a record in each partition of the log: a feed that applies the log to Redis,
now or after any loss, reads it there, deletes the profile, and skips the tags that it covers from
then on. So an erasure is certain once the log has it. After that the tool waits until the cookie's
shard has carried it out, and reports what the topics still hold of the cookie.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient

from actors.log.kafka_errors import kafka_call
from actors.log.topic_reader import TopicReader
from actors.settings import ActorSettings
from actors.tools.erase.kept_records import UNLIMITED, KeptRecords, find
from actors.tools.erase.record import append_erasure
from actors.tools.progress import LogProgress
from serve_app.core.clock import Clock
from serve_app.core.erasure import Erasure, Mark, decode_mark
from serve_app.core.names import (
    DEAD_LETTERS_TOPIC,
    USER_TAGS_TOPIC,
    cookie_slot,
    erased_key,
    profile_key,
    view_key,
)
from serve_app.core.position import agreed, own_copies, reached_by_slot
from serve_app.core.settings import Settings
from serve_app.core.tag import ACTIONS
from serve_app.stores.kafka_clients import close_client, connection_options
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable
from serve_app.stores.topic_config import topic_config

TOPICS: Final = (USER_TAGS_TOPIC, DEAD_LETTERS_TOPIC)
LOOK_S: Final = 0.5
DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Outcome:
    """What was done, and what remains."""

    cookie: str
    removed: int | None = None
    """Tags that the profile held when the erasure began; None: its shard did not answer."""
    before: Mapping[int, int] = field(default_factory=dict)
    """Kafka partition → offset before which the cookie's tags are erased."""
    recorded: Mapping[int, int] = field(default_factory=dict)
    """Kafka partition → offset of the erasure's record."""
    kept: list[KeptRecords] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    """What Redis has yet to do, one line each; empty when the cookie is gone for good."""

    def document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "cookie": self.cookie,
            "removed": self.removed,
            "before": {str(p): offset for p, offset in self.before.items()},
            "recorded": {str(p): offset for p, offset in self.recorded.items()},
            "log": [kept.document() for kept in self.kept],
            "pending": self.pending,
        }


class Eraser:
    """Works on started ``shards``, which need not answer: the actors can do the rest later."""

    def __init__(
        self,
        stores: Settings,
        settings: ActorSettings,
        shards: RedisShards,
        clock: Clock,
        progress: LogProgress,
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._shards = shards
        self._clock = clock
        self._progress = progress

    async def erase(self, cookie: str, wait_s: float, *, scan: bool = False) -> Outcome:
        """Record the erasure; wait at most ``wait_s`` until Redis has done it.

        ``scan`` looks through the topics for records that name the cookie, meanwhile.

        Raises:
            LogUnavailable: Kafka did not acknowledge it everywhere, or the topic was replaced
                meanwhile. Safe to call again.
        """
        done = Outcome(cookie)
        done.kept = await self._topics()
        tags = TopicReader(
            USER_TAGS_TOPIC, stores=self._stores, timeout_s=self._settings.log_timeout_s
        )
        try:
            await tags.open()
            done.removed = await self._held(cookie)
            done.before = await tags.ends()
            erasure = Erasure(cookie, done.before, keep_ms(done.kept[0]))
            done.recorded = await append_erasure(
                USER_TAGS_TOPIC,
                erasure,
                done.before,
                stores=self._stores,
                timeout_s=2 * self._settings.log_timeout_s,
            )
            # The offsets would be those of another topic, in which nothing was erased.
            await tags.check_topic()
            now_ms = self._clock.now_ms()
            for kept in done.kept:
                kept.erased_ms = now_ms
            if scan:
                await self._scan(tags, done)
        finally:
            await tags.close()
        done.pending = await self._wait(cookie, erasure.mark(tags.topic_id), done.recorded, wait_s)
        return done

    async def _held(self, cookie: str) -> int | None:
        keys = [profile_key(cookie, action) for action in ACTIONS]
        try:
            shard = self._shards.shard_of(keys[0])
            return sum(await self._shards.on_master(shard, [("ZCARD", key) for key in keys]))
        except ShardUnavailable:
            return None

    async def _scan(self, tags: TopicReader, done: Outcome) -> None:
        await find(tags, done.cookie, done.before, done.kept[0], self._progress)
        letters = TopicReader(
            DEAD_LETTERS_TOPIC, stores=self._stores, timeout_s=self._settings.log_timeout_s
        )
        try:
            await letters.open()
            ends = await letters.ends()
            await find(letters, done.cookie, ends, done.kept[1], self._progress)
        finally:
            await letters.close()

    async def _wait(
        self, cookie: str, wanted: Mark, recorded: Mapping[int, int], wait_s: float
    ) -> list[str]:
        give_up_s = self._clock.monotonic() + wait_s
        while True:
            try:
                pending = await self._pending(cookie, wanted, recorded)
            except ShardUnavailable as error:
                pending = [str(error)]
            if not pending or self._clock.monotonic() >= give_up_s:
                return pending
            await self._clock.sleep(LOOK_S)

    async def _pending(self, cookie: str, wanted: Mark, recorded: Mapping[int, int]) -> list[str]:
        """What the cookie's shard has not done yet of the erasure that leaves the mark ``wanted``.

        The mark alone is not enough: with it all positions of the shard go back to the erasure,
        since tags of the cookie's new life may have gone with the old ones, and are applied again.
        """
        key = erased_key(cookie)
        shard = self._shards.shard_of(key)
        commands = [*(("HGETALL", view_key(home)) for home in shard.homes), ("GET", key)]
        *homes, mark = await self._shards.on_master(shard, commands)
        positions = {
            name: one
            for name, one in agreed(own_copies(homes, shard.owners)).items()
            if one.topic_id == wanted.topic_id
        }
        reached = reached_by_slot(positions, cookie_slot(cookie), shard.name)
        pending = [
            f"shard {shard.name} is at {reached.offsets.get(partition, 'no position')} of "
            f"partition {partition}, whose record of the erasure is at {offset}"
            for partition, offset in sorted(recorded.items())
            if reached.offsets.get(partition, 0) <= offset
        ]
        if not decode_mark(mark or b"").covers(wanted):
            pending.insert(0, f"shard {shard.name} has not deleted the profile")
        return pending

    async def _topics(self) -> list[KeptRecords]:
        timeout_s = self._settings.log_timeout_s
        admin = AIOKafkaAdminClient(**connection_options(self._stores))
        try:
            async with kafka_call(USER_TAGS_TOPIC, timeout_s):
                await admin.start()
                configs = [await topic_config(admin, topic) for topic in TOPICS]
        finally:
            await close_client(admin.close(), timeout_s)
        return [
            KeptRecords(
                topic,
                int(config["retention.ms"]),
                int(config["segment.ms"]),
                int(config["retention.bytes"]),
            )
            for topic, config in zip(TOPICS, configs, strict=True)
        ]


def keep_ms(tags: KeptRecords) -> int:
    """How long the mark must stay: until the log has no tag that it covers; 0 for ever.

    A day longer than that, as Kafka deletes with a delay.
    """
    if tags.retention_ms == UNLIMITED:
        return 0
    return tags.retention_ms + tags.segment_ms + DAY_MS
