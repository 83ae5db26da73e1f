"""One Kafka partition's part of the profile view: a feed for each shard of the cluster.

Each shard is fed separately, from its own position: one that is down or behind delays no other.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from actors.log.ports import Log
from actors.profiles.lane import Lane
from actors.profiles.ports import ShardView
from actors.profiles.redis_shard import RedisShard
from actors.profiles.status import FeedStatus
from actors.settings import ActorSettings
from serve_app.core.clock import Clock
from serve_app.core.settings import Settings
from serve_app.core.slots import Ranges, slots_of
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_shards import RedisShards

logger = logging.getLogger(__name__)

_REMEMBERED_S: Final = 60.0
"""Slots seen in a shard this many seconds ago count as complete when they move to another."""


class ProfileView:
    """Follows the map of the cluster while `run` is awaited."""

    def __init__(
        self,
        partition: int,
        *,
        shards: RedisShards,
        view_of: Callable[[str], ShardView],
        open_log: Callable[[], Log],
        clock: Clock,
        settings: ActorSettings,
    ) -> None:
        """Performs no I/O.

        Args:
            partition: of the topic of tags.
            shards: the map, not started; this view starts and stops it.
            view_of: a shard by the address of its master.
            open_log: a reader of the partition, for one lane.
            clock: for pauses and beats.
            settings: of the actors.
        """
        self._partition = partition
        self._shards = shards
        self._view_of = view_of
        self._open_log = open_log
        self._clock = clock
        self._settings = settings
        self._lanes: dict[str, tuple[Lane, ...]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._left: list[tuple[str, Ranges, float]] = []
        """Node id, slots and time of the settled slots of lanes that were stopped."""
        self._ended = (0, 0)
        """Tags and conflicts of lanes that were stopped."""
        self._beat_s = clock.monotonic()

    @property
    def statuses(self) -> list[FeedStatus]:
        """Of every lane, by shard."""
        return [lane.status for name in sorted(self._lanes) for lane in self._lanes[name]]

    @property
    def applied(self) -> int:
        """Tags applied so far, also by lanes that were stopped."""
        return self._ended[0] + sum(one.applied for one in self.statuses)

    @property
    def conflicts(self) -> int:
        """Conflicts so far, also of lanes that were stopped."""
        return self._ended[1] + sum(one.conflicts for one in self.statuses)

    def document(self) -> list[dict[str, Any]]:
        """Plain JSON types: lanes of the shards, without arrivals where nothing arrives."""
        return [one.document() for one in self.statuses if not one.arrivals or one.slots]

    def seconds_since_beat(self) -> float:
        """Seconds since the most silent loop last showed a sign of life."""
        beats = [self._beat_s, *(lane.beat_s for lanes in self._lanes.values() for lane in lanes)]
        return self._clock.monotonic() - min(beats)

    async def run(self) -> None:
        """Run until cancelled; only bugs raise."""
        self._shards.start()
        try:
            while True:
                self._beat_s = self._clock.monotonic()
                await self._follow()
                for name, tasks in self._tasks.items():
                    for task in tasks:
                        if task.done():
                            raise RuntimeError(f"a feed of {name} has ended") from task.exception()
                await self._clock.sleep(self._settings.view_check_interval_s / 2)
        finally:
            await asyncio.gather(*(self._stop(name) for name in list(self._tasks)))
            await self._shards.stop()

    async def _follow(self) -> None:
        """Start and stop feeds, so that exactly the shards with slots have one."""
        wanted = {shard.name for shard in self._shards.shards if shard.slots}
        for name in sorted(self._tasks.keys() - wanted):
            logger.info("partition %d: no shard %s any more", self._partition, name)
            await self._stop(name)
        for name in sorted(wanted - self._tasks.keys()):
            self._start(name)

    def _start(self, name: str) -> None:
        shard = self._view_of(name)
        lanes = tuple(
            Lane(
                self._partition,
                arrivals=arrivals,
                name=name,
                shard=shard,
                log=self._open_log(),
                clock=self._clock,
                settings=self._settings,
                came_whole=functools.partial(self._came_whole, name),
            )
            for arrivals in (False, True)
        )
        self._lanes[name] = lanes
        self._tasks[name] = [
            asyncio.create_task(lane.run(), name=f"profiles of {name}") for lane in lanes
        ]

    async def _stop(self, name: str) -> None:
        tasks, lanes = self._tasks.pop(name), self._lanes.pop(name)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ended = (
            self._ended[0] + sum(lane.status.applied for lane in lanes),
            self._ended[1] + sum(lane.status.conflicts for lane in lanes),
        )
        self._left += _settled(lanes)
        self._forget_old()

    def _forget_old(self) -> float:
        """Drop what was seen longer ago than is remembered; since when that is (monotonic)."""
        since_s = self._clock.monotonic() - _REMEMBERED_S
        self._left = [settled for settled in self._left if settled[2] >= since_s]
        return since_s

    def _came_whole(self, name: str, slots: Ranges) -> set[int]:
        """Those of ``slots`` that a position of another shard covered a moment ago.

        The shard ``name`` itself does not count, nor the masters that it took over from: an empty
        copy of them lacks what they had.
        """
        since_s = self._forget_old()
        lanes = [lane for pair in self._lanes.values() for lane in pair]
        shard = self._shards.named(name)
        owners = shard.owners if shard is not None else frozenset()
        seen: set[int] = set()
        for node_id, ranges, at_s in [*_settled(lanes), *self._left]:
            if at_s >= since_s and node_id not in owners:
                seen |= slots_of(ranges)
        return seen & slots_of(slots)


def _settled(lanes: Iterable[Lane]) -> list[tuple[str, Ranges, float]]:
    return [(lane.node_id, *settled) for lane in lanes for settled in lane.settled]


def profile_view(
    partition: int,
    *,
    open_log: Callable[[], Log],
    stores: Settings,
    settings: ActorSettings,
    clock: Clock,
) -> ProfileView:
    """The view as the actors run it, on the Redis Cluster of ``stores``."""
    shards = connect_shards(
        stores, timeout_s=settings.view_node_timeout_s, refresh_s=settings.view_map_interval_s
    )
    return ProfileView(
        partition,
        shards=shards,
        view_of=lambda name: RedisShard(
            name, partition, shards=shards, idle_days=stores.profile_idle_days
        ),
        open_log=open_log,
        clock=clock,
        settings=settings,
    )
