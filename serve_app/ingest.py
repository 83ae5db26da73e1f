"""The path of a tag: into the log, then into its profile, then 204.

Requests that arrive within ``linger_ms`` share one Kafka batch and one pipeline a Redis shard.
The log comes first and is the commit point. A tag that the log has and its shard does not take
in time is owed: it goes to the topic ``profile_repairs`` before it is acknowledged.

DESIGN lets both writes run side by side. One after the other costs a few milliseconds and no
processor time, and a tag that the log refused is then in no profile either.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serve_app.core.errors import OutcomeUnknown, Problem, Unavailable
from serve_app.core.names import PROFILE_REPAIRS_TOPIC, USER_TAGS_TOPIC
from serve_app.core.tag import UserTag
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_shards import Shard, ShardUnavailable
from serve_app.stores.tag_log import TagLog

logger = logging.getLogger(__name__)

STORE_BUSY: Final = "too many tags are waiting for the stores"


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How long tags are collected, how long they wait, and how many of them may."""

    linger_ms: float = 10.0
    max_waiting: int = 2_000
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: UserTag
    body: bytes
    done: asyncio.Future[None]


class Ingest:
    """Accepts tags; outlives the clients that sent them.

    The writes run in tasks of their own: a client that goes away, or a handler that Serve cancels
    for it, takes nothing back.
    """

    def __init__(self, log: TagLog, profiles: Profiles, limits: IngestLimits) -> None:
        """``log`` and ``profiles`` must be started."""
        self._log = log
        self._profiles = profiles
        self.limits = limits
        """May be replaced at any time; tags that wait already keep the time-out that they have."""
        self._collected: list[_Entry] = []
        self._waiting = 0
        self._writes: set[asyncio.Task[None]] = set()
        self.owed = 0
        """Tags acknowledged so far whose profile write was left to the repair loop."""

    async def accept(self, tag: UserTag, body: bytes) -> None:
        """Return when ``tag`` is in the log, and in Redis or owed to it.

        Args:
            tag: what `decode_tag` made of ``body``.
            body: the value of its Kafka record.

        Raises:
            Unavailable: nothing was stored.
            OutcomeUnknown: the log may or may not have it.
        """
        if self._waiting + len(self._collected) >= self.limits.max_waiting:
            raise Unavailable(STORE_BUSY)
        if not self._log.ready:
            raise self._log.unreachable()
        loop = asyncio.get_running_loop()
        entry = _Entry(tag, body, loop.create_future())
        self._collected.append(entry)
        if len(self._collected) == 1:
            loop.call_later(self.limits.linger_ms / 1000, self._flush)
        await entry.done

    async def drain(self) -> None:
        """Return when every tag that was accepted so far has its answer."""
        self._flush()
        while self._writes:
            await asyncio.wait(self._writes)

    def _flush(self) -> None:
        entries, self._collected = self._collected, []
        if not entries:
            return
        self._waiting += len(entries)
        task = asyncio.create_task(self._write(entries))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        timer = asyncio.get_running_loop().call_later(self.limits.timeout_s, _expire, entries)
        task.add_done_callback(lambda _: timer.cancel())

    async def _write(self, entries: list[_Entry]) -> None:
        try:
            await self._log.append(USER_TAGS_TOPIC, [entry.body for entry in entries])
            groups = self._profiles.group([entry.tag for entry in entries])
            await asyncio.gather(
                *(self._write_profiles(shard, [entries[i] for i in at]) for shard, at in groups)
            )
        except Problem as problem:
            _refuse(entries, problem)
        except Exception as error:
            logger.exception("a write failed in a way that nobody foresaw")
            _refuse(entries, OutcomeUnknown(f"internal error: {error!r}"))
        finally:
            self._waiting -= len(entries)

    async def _write_profiles(self, shard: Shard | None, entries: list[_Entry]) -> None:
        try:
            if shard is None:
                raise ShardUnavailable("unknown shard")
            await self._profiles.write_shard(shard, [entry.tag for entry in entries])
        except ShardUnavailable:
            try:
                await self._log.append(PROFILE_REPAIRS_TOPIC, [entry.body for entry in entries])
            except Problem as problem:
                # The log has these tags, and their profiles are neither written nor owed.
                _refuse(entries, OutcomeUnknown(f"profile not written: {problem.detail}"))
                return
            self.owed += len(entries)
        for entry in entries:
            if not entry.done.done():
                entry.done.set_result(None)


def _refuse(entries: Sequence[_Entry], problem: Problem) -> None:
    for entry in entries:
        if not entry.done.done():
            entry.done.set_exception(problem)


def _expire(entries: Sequence[_Entry]) -> None:
    _refuse(entries, OutcomeUnknown("the stores did not answer in time"))
