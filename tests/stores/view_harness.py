"""The profile view of one partition on a real cluster, a log in memory, and a concurrent reader.

The reader queries continuously; each answer must hold everything that its position covers.
"""

import asyncio
import random
import secrets
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from actors.errors import ViewUnavailable
from actors.profiles.redis_shard import RedisShard
from actors.profiles.view import ProfileView
from actors.settings import ActorSettings
from serve_app.core.answer import ProfileAnswer
from serve_app.core.clock import SystemClock
from serve_app.core.erasure import Erasure
from serve_app.core.errors import StoreAway
from serve_app.core.names import view_key
from serve_app.core.position import Reached
from serve_app.core.query import ProfileQuery
from serve_app.core.settings import Settings
from serve_app.stores import profile_scripts
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import RedisShards
from tests.fakes.log import MemoryLog
from tests.oracle import Oracle, Tag, same_profile
from tests.tags import FIRST_MS, new_cookie, wire_tag
from tests.waiting import eventually

RANGE = "2022-03-01T00:00:00_2022-03-01T10:00:00"
QUICK: dict[str, Any] = {
    "view_poll_records": 100,
    "view_pipeline_tags": 20,
    "view_interval_s": 0.05,
    "view_check_interval_s": 0.1,
    "view_node_timeout_s": 1.0,
    "log_check_interval_s": 0.2,
    "retry_s": 0.05,
    "failed_retry_s": 0.1,
    "stand_by_intervals": 3,
}
"""Short intervals; the same mechanisms as in production."""


class ViewHarness:
    """A log, views that follow it, and a reader."""

    def __init__(self, stores: Settings, reader: RedisShards) -> None:
        self.stores = stores
        self.log = MemoryLog()
        self.log.topic_id = secrets.token_hex(16)
        # What a test before left in a shard is of another topic.
        self.shards = reader
        """The reader's own map."""
        self.profiles = Profiles(reader)
        self.cookies = [new_cookie() for _ in range(40)]
        self.erased: dict[str, int] = {}
        """Offset before which tags are erased, by cookie."""
        self.sent: list[tuple[int, Tag]] = []
        """(offset, tag)."""
        self.views: dict[ProfileView, asyncio.Task[None]] = {}
        self.answered = 0
        """Number of the reader's answers that a query would have accepted."""
        self.refused = 0
        self._watch: asyncio.Task[None] | None = None
        self._random = random.Random(7)

    # --- the log --------------------------------------------------------------------------------

    def send(self, count: int, cookies: Iterable[str] = ()) -> None:
        """Tags of ``cookies``, each with its own millisecond."""
        among = list(cookies) or self.cookies
        for _ in range(count):
            at = len(self.sent)
            action = self._random.choice(("VIEW", "BUY"))
            tag = wire_tag(self._random.choice(among), FIRST_MS + at, action=action, product_id=at)
            self.sent.append((self.log.end, tag))
            self.log.append(tag)

    def erase(self, cookie: str) -> Erasure:
        self.erased[cookie] = self.log.end
        self.log.erase(cookie)
        return Erasure(cookie, {0: self.erased[cookie]})

    async def replace_topic(self) -> None:
        """By a new and empty one; the shards forget their positions, and keep what they hold."""
        self.log.topic_id = secrets.token_hex(16)
        self.log.records.clear()
        self.sent.clear()
        self.erased.clear()
        for shard in self.shards.shards:
            first, second = map(view_key, shard.homes)
            command = profile_scripts.run(profile_scripts.FORGET, first, [first, second])
            await self.shards.on_master(shard, [command])

    # --- the view -------------------------------------------------------------------------------

    def start(self, **changes: object) -> ProfileView:
        """Start another instance of the view."""
        settings = ActorSettings.model_validate({**QUICK, **changes})
        shards = connect_shards(self.stores, timeout_s=settings.view_node_timeout_s, refresh_s=0.2)
        view = ProfileView(
            0,
            shards=shards,
            view_of=lambda name: RedisShard(name, 0, shards=shards, idle_days=0),
            open_log=self.log.read,
            clock=SystemClock(),
            settings=settings,
        )
        self.views[view] = asyncio.create_task(view.run())
        return view

    async def stop(self, view: ProfileView) -> None:
        task = self.views.pop(view)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def shard_view(self, name: str) -> RedisShard:
        """A shard by the address of its master, for tests of what tools do."""
        return RedisShard(name, 0, shards=self.shards, idle_days=0)

    # --- reading --------------------------------------------------------------------------------

    async def read(self, cookie: str) -> tuple[Reached, dict[str, Any]]:
        query = ProfileQuery(cookie, FIRST_MS, FIRST_MS + 36_000_000, 200)
        reached, answer = await self.profiles.read(query)
        assert isinstance(answer, ProfileAnswer)
        return reached, dict(msgspec.json.decode(msgspec.json.encode(answer)))

    def expected(self, cookie: str, before: int | None = None) -> dict[str, Any]:
        """Expected answer from the log up to ``before``, or from all of it."""
        first = self.erased.get(cookie, 0)
        tags = [t for o, t in self.sent if first <= o and (before is None or o < before)]
        return Oracle(tags).profile(cookie, RANGE)

    async def check(self, cookie: str) -> bool:
        """Query once; returns whether the answer holds all of the log.

        Raises:
            AssertionError: the answer lacks something that its position covers.
        """
        try:
            end = self.log.end
            reached, answer = await self.read(cookie)
        except StoreAway:
            await self.profiles.refresh(0.05)
            self.refused += 1
            return False
        if reached.lost or not reached.topic_ids <= {self.log.topic_id}:
            self.refused += 1
            return False
        covered = reached.offsets.get(0, 0)
        self.answered += 1
        promised = self.expected(cookie, covered)
        for side in ("views", "buys"):
            missing = [tag for tag in promised[side] if tag not in answer[side]]
            # While no list exceeds its limit, later tags displace nothing.
            assert not missing, f"{cookie} at offset {covered}: without {missing}"
        return covered >= end and same_profile(answer, self.expected(cookie))

    async def whole(self, timeout_s: float = 20.0) -> None:
        """Wait until every profile holds all of the log; fails if a view has ended."""

        async def all_right() -> bool:
            for task in (*self.views.values(), *filter(None, (self._watch,))):
                if task.done():
                    task.result()
            return all([await self.check(cookie) for cookie in self.cookies])

        await eventually(all_right, timeout_s, 0.02)

    def watch(self) -> None:
        """Query one cookie after the other until the harness ends."""
        self._watch = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        while True:
            await self.check(self._random.choice(self.cookies))
            await asyncio.sleep(0.001)

    async def end(self) -> None:
        for view in list(self.views):
            await self.stop(view)
        if self._watch is not None:
            if not self._watch.done():
                self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    # --- things that hold -----------------------------------------------------------------------

    async def positions(self) -> dict[str, list[dict[str, Any]]]:
        """Positions by shard, home and field, as read by the shard's own class."""
        found = {}
        for shard in self.shards.shards:
            stored = await self.shard_view(shard.name).positions()
            # Another slot's, too, if there are any.
            found[shard.name] = [dict(one) for slot, one in stored if one or slot in shard.homes]
        return found

    async def all_settled(self) -> bool:
        """Whether each shard has a single position, at the end of the log, in both homes."""
        await self.shards.changed(0.5)
        try:
            stored = await self.positions()
        except ViewUnavailable:
            return False
        for shard in self.shards.shards:
            for fields in stored.get(shard.name, [{}]):
                if fields.keys() != {"0"}:
                    return False
                one = fields["0"]
                if (one.next_offset, one.slots, one.since) != (self.log.end, shard.slots, 0):
                    return False
        return True

    async def settled(self, timeout_s: float = 20.0) -> None:
        await eventually(partial(self.all_settled), timeout_s)
