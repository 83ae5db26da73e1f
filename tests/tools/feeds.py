"""Log and profile view on real stores, with the partition actors' feeds in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
import redis
from aiokafka import AIOKafkaProducer
from rich.console import Console

from actors.log.shared_log import shared_log
from actors.log.topic_reader import TopicReader
from actors.profiles.view import profile_view
from actors.settings import ActorSettings
from actors.tools.erase.run import Eraser, Outcome
from actors.tools.positions import all_positions
from actors.tools.progress import LogProgress
from serve_app.core.clock import SystemClock
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.query import ProfileQuery
from serve_app.core.tag import MAX_TIME_MS
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_shards import RedisShards
from setup.local.platform import Platform
from tests.contract.api import Minutes
from tests.oracle import Tag
from tests.tags import new_tag
from tests.waiting import eventually

PARTITIONS = 3
MINUTES = Minutes(datetime(2020, 5, 1))
SETTINGS = ActorSettings(fetch_wait_ms=50, view_interval_s=0.1, view_check_interval_s=0.2)


def numbered(cookie: str, *numbers: int) -> list[Tag]:
    """Tags whose times tell their numbers (`Feeds.numbers`)."""
    return [
        new_tag(cookie, MINUTES.time(0, number), action=("VIEW", "BUY")[number % 2])
        for number in numbers
    ]


class Feeds:
    """Both stores, and ways to read and disturb them."""

    def __init__(self, platform: Platform, shards: RedisShards, producer: AIOKafkaProducer) -> None:
        self.stores = platform.settings()
        self.shards = shards
        self._producer = producer

    @asynccontextmanager
    async def feeding(self) -> AsyncIterator[None]:
        """Feeds of all partitions run within the context."""
        views = [
            profile_view(
                p,
                open_log=shared_log(p, stores=self.stores, settings=SETTINGS).reader,
                stores=self.stores,
                settings=SETTINGS,
                clock=SystemClock(),
            )
            for p in range(PARTITIONS)
        ]
        tasks = [asyncio.create_task(view.run()) for view in views]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, tags: Iterable[Tag]) -> list[tuple[int, int]]:
        """Append tags round-robin over the partitions; returns the place of each."""
        sent = [
            await self._producer.send(
                USER_TAGS_TOPIC, msgspec.json.encode(tag), partition=number % PARTITIONS
            )
            for number, tag in enumerate(tags)
        ]
        answers = await asyncio.gather(*sent)
        return [(answer.partition, answer.offset) for answer in answers]

    async def erase(self, cookie: str, wait_s: float = 30, *, scan: bool = False) -> Outcome:
        """As the tool does."""
        progress = LogProgress("log", Console(quiet=True))
        eraser = Eraser(self.stores, SETTINGS, self.shards, SystemClock(), progress)
        return await eraser.erase(cookie, wait_s, scan=scan)

    async def ends(self) -> dict[int, int]:
        """Of the log."""
        reader = TopicReader(USER_TAGS_TOPIC, stores=self.stores, timeout_s=5)
        try:
            await reader.open()
            return dict(await reader.ends())
        finally:
            await reader.close()

    async def caught_up(self) -> None:
        """Wait until every shard has applied the current log."""
        ends = await self.ends()

        async def there() -> bool:
            return all(
                (one.next_offset(p) or 0) >= end
                for one in await all_positions(self.shards)
                for p, end in ends.items()
            )

        # A feed on standby takes over after some seconds; on a busy machine they are many.
        await eventually(there, timeout_s=60)

    async def numbers(self, cookie: str) -> set[int]:
        """Of the tags of a profile."""
        query = ProfileQuery(cookie, 0, MAX_TIME_MS, 200)
        _, answer = await Profiles(self.shards).read(query)
        return {tag.time_ms % 60_000 for tag in (*answer.views, *answer.buys)}

    def flush(self, cookie: str) -> None:
        """Empty the shard of a cookie, as after losing its disk."""
        master = self.shards.shard_of(f"p:{{{cookie}}}:VIEW").master
        with redis.Redis(master.host, master.port) as client:
            client.flushall()
