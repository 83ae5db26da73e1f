"""An erasure from begin to end.

What the log holds can come back into a profile in three ways, each dealt with:

- a tag on its way to Redis at this moment, or one that is owed (``profile_repairs``): wait until
  a repair loop has committed past the cookie's last one, and for as long again as a write of the
  other one may take, which began before it could know that;
- a replay, which begins at what the repair loop has committed of ``user_tags``, a minute behind:
  wait until that is past the cookie's last tag;
- somebody applies the log again (``rebuild profiles``): a mark beside the profile tells
  until when its tags are erased.

Then all members that the log knows of are removed once more. Tags that arrive after the first
removal are the cookie's new life and stay.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from actors.errors import LogUnavailable, Unavailable
from actors.log.topic_reader import TopicReader
from actors.profiles.erased import Erased
from actors.settings import ActorSettings
from actors.tools.erase.traces import UNLIMITED, Traces, find
from actors.tools.progress import LogProgress
from serve_app.core.clock import Clock
from serve_app.core.names import (
    DEAD_LETTERS_TOPIC,
    PROFILE_REPAIRS_TOPIC,
    REPAIR_GROUP,
    USER_TAGS_TOPIC,
    profile_key,
)
from serve_app.core.settings import Settings
from serve_app.core.tag import ACTIONS
from serve_app.stores.kafka_clients import connection_options
from serve_app.stores.redis_node import Command, Reply
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable
from serve_app.stores.topic_config import topic_config

TOPICS: Final = (USER_TAGS_TOPIC, PROFILE_REPAIRS_TOPIC, DEAD_LETTERS_TOPIC)
LOOK_S: Final = 1.0


@dataclass(slots=True)
class Erasure:
    """What was done, and what remains."""

    cookie: str
    until_ms: int = 0
    """Tags that arrived by then (epoch ms) are erased."""
    removed: int = 0
    """Tags that the profile held."""
    came_back: int = 0
    """Tags that were written again meanwhile, and removed again."""
    traces: list[Traces] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    """Why tags may still come back, one line each; empty when they cannot."""

    def document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "cookie": self.cookie,
            "removed": self.removed,
            "came_back": self.came_back,
            "log": [traces.document() for traces in self.traces],
            "pending": self.pending,
        }


class Eraser:
    """Works on started ``shards``."""

    def __init__(
        self,
        stores: Settings,
        settings: ActorSettings,
        shards: RedisShards,
        clock: Clock,
        progress: LogProgress,
    ) -> None:
        """Connects nothing to Kafka yet."""
        self._stores = stores
        self._settings = settings
        self._shards = shards
        self._clock = clock
        self._progress = progress

    async def erase(self, cookie: str, wait_s: float) -> Erasure:
        """Erase; wait at most ``wait_s`` for what may bring tags back.

        Raises:
            Unavailable: a store does not answer. Safe to call again.
        """
        done = Erasure(cookie)
        done.traces = await self._topics()
        keep_ms = 0
        for traces in done.traces[:2]:
            if traces.retention_ms == UNLIMITED:
                keep_ms = UNLIMITED
            elif keep_ms != UNLIMITED:
                keep_ms = max(keep_ms, traces.retention_ms + traces.segment_ms)
        keys = [profile_key(cookie, action) for action in ACTIONS]
        *counts, _ = await self._ask(keys[0], [*(("ZCARD", key) for key in keys), ("DEL", *keys)])
        done.removed = sum(counts)
        # After the removal: what arrives later may be in Redis already, and is not ours.
        done.until_ms = self._clock.now_ms()
        try:
            await Erased(self._shards).mark(
                cookie, done.until_ms, None if keep_ms == UNLIMITED else keep_ms
            )
        except ShardUnavailable as error:
            raise Unavailable(str(error)) from error
        readers = [self._reader(topic) for topic in TOPICS]
        try:
            for reader, traces in zip(readers, done.traces, strict=True):
                await reader.open()
                await find(reader, cookie, done.until_ms, traces, self._progress)
            done.pending = await self._wait(readers, done, wait_s)
            if done.traces[TOPICS.index(PROFILE_REPAIRS_TOPIC)].last:
                await self._clock.sleep(self._settings.repair_node_timeout_s)
        finally:
            await asyncio.gather(*(reader.close() for reader in readers))
        done.came_back = await self._remove_members(done)
        return done

    async def _wait(self, readers: list[TopicReader], done: Erasure, wait_s: float) -> list[str]:
        give_up_s = self._clock.monotonic() + wait_s
        while True:
            pending = []
            for reader, traces, way in zip(
                readers,
                done.traces,
                ("a replay after a fail-over", "the repair loop"),
                strict=False,
            ):
                committed = await reader.committed()
                behind = [p for p, last in traces.last.items() if committed.get(p, 0) <= last]
                if behind:
                    pending.append(
                        f"{way} may still write tags of {traces.topic}, partitions "
                        f"{', '.join(map(str, sorted(behind)))}"
                    )
            if not pending or self._clock.monotonic() >= give_up_s:
                return pending
            await self._clock.sleep(LOOK_S)

    async def _remove_members(self, done: Erasure) -> int:
        removed = 0
        for action in ACTIONS:
            key = profile_key(done.cookie, action)
            members = set[bytes]().union(*(t.members.get(action, set()) for t in done.traces[:2]))
            if members:
                (count,) = await self._ask(key, [("ZREM", key, *members)])
                removed += int(count)
        return removed

    async def _ask(self, key: str, commands: list[Command]) -> list[Reply]:
        try:
            return await self._shards.on_master(self._shards.shard_of(key), commands)
        except ShardUnavailable as error:
            raise Unavailable(str(error)) from error

    def _reader(self, topic: str) -> TopicReader:
        return TopicReader(
            topic, REPAIR_GROUP, stores=self._stores, timeout_s=self._settings.log_timeout_s
        )

    async def _topics(self) -> list[Traces]:
        admin = AIOKafkaAdminClient(**connection_options(self._stores))
        try:
            await admin.start()
            configs = [await topic_config(admin, topic) for topic in TOPICS]
        except (KafkaError, OSError, TimeoutError) as error:
            raise LogUnavailable(f"Kafka: {error!r}") from error
        finally:
            await admin.close()
        return [
            Traces(
                topic,
                int(config["retention.ms"]),
                int(config["segment.ms"]),
                int(config["retention.bytes"]),
            )
            for topic, config in zip(TOPICS, configs, strict=True)
        ]
