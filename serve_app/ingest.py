"""The path of a tag: into the log, then into its profile, then 204.

Requests that arrive within ``linger_ms`` share one Kafka batch and one pipeline a Redis shard.
The log comes first and is the commit point. A tag that the log has and its shard does not take
in time is owed: it goes to the topic ``profile_repairs`` before it is acknowledged.

DESIGN lets both writes run side by side. One after the other costs a few milliseconds and no
processor time, and a tag that the log refused is then in no profile either.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serve_app.core.errors import OutcomeUnknown, Problem, Unavailable
from serve_app.core.metrics import (
    PROFILE_WRITES_OWED,
    STORE_SECONDS,
    TAGS_ACCEPTED,
    NoRecorder,
    Recorder,
)
from serve_app.core.names import PROFILE_REPAIRS_TOPIC, USER_TAGS_TOPIC
from serve_app.core.tag import UserTag
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_shards import Shard, ShardUnavailable
from serve_app.stores.tag_log import TagLog

logger = logging.getLogger(__name__)

STORE_BUSY: Final = "too many tags are waiting for the stores"

_NO_REQUEST: Final = contextvars.Context()
"""Writes are for many requests: their log lines must not carry the id of the first one."""


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
    request_id: bytes
    done: asyncio.Future[None]


class Ingest:
    """Accepts tags; outlives the clients that sent them.

    The writes run in tasks of their own: a client that goes away, or a handler that Serve cancels
    for it, takes nothing back.
    """

    def __init__(
        self,
        log: TagLog,
        profiles: Profiles,
        limits: IngestLimits,
        recorder: Recorder | None = None,
    ) -> None:
        """``log`` and ``profiles`` must be started."""
        self._log = log
        self._profiles = profiles
        self.limits = limits
        """May be replaced at any time; tags that wait already keep the time-out that they have."""
        self._recorder = recorder or NoRecorder()
        self._collected: list[_Entry] = []
        self._waiting = 0
        self._writes: set[asyncio.Task[None]] = set()
        self.owed = 0
        """Tags acknowledged so far whose profile write was left to the repair loop."""

    @property
    def waiting(self) -> int:
        """Tags that have no answer yet."""
        return self._waiting + len(self._collected)

    async def accept(self, tag: UserTag, body: bytes, request_id: bytes = b"") -> None:
        """Return when ``tag`` is in the log, and in Redis or owed to it.

        Args:
            tag: what `decode_tag` made of ``body``.
            body: the value of its Kafka record.
            request_id: goes with the record, if there is one.

        Raises:
            Unavailable: nothing was stored.
            OutcomeUnknown: the log may or may not have it.
        """
        if self.waiting >= self.limits.max_waiting:
            raise Unavailable(STORE_BUSY)
        if not self._log.ready:
            raise self._log.unreachable()
        loop = asyncio.get_running_loop()
        entry = _Entry(tag, body, request_id, loop.create_future())
        self._collected.append(entry)
        if len(self._collected) == 1:
            loop.call_later(self.limits.linger_ms / 1000, self._flush, context=_NO_REQUEST)
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
            await self._append(USER_TAGS_TOPIC, entries)
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
            started_s = time.monotonic()
            try:
                await self._profiles.write_shard(shard, [entry.tag for entry in entries])
            finally:
                self._took("redis", "write", started_s)
        except ShardUnavailable:
            try:
                await self._append(PROFILE_REPAIRS_TOPIC, entries)
            except Problem as problem:
                # The log has these tags, and their profiles are neither written nor owed.
                _refuse(entries, OutcomeUnknown(f"profile not written: {problem.detail}"))
                return
            self.owed += len(entries)
            self._recorder.add(PROFILE_WRITES_OWED, len(entries))
        accepted = 0
        for entry in entries:
            if not entry.done.done():
                entry.done.set_result(None)
                accepted += 1
        self._recorder.add(TAGS_ACCEPTED, accepted)

    async def _append(self, topic: str, entries: Sequence[_Entry]) -> None:
        started_s = time.monotonic()
        try:
            await self._log.append(
                topic,
                [entry.body for entry in entries],
                [entry.request_id for entry in entries],
            )
        finally:
            self._took("kafka", "append", started_s)

    def _took(self, store: str, operation: str, started_s: float) -> None:
        self._recorder.observe(STORE_SECONDS, time.monotonic() - started_s, store, operation)


def _refuse(entries: Sequence[_Entry], problem: Problem) -> None:
    for entry in entries:
        if not entry.done.done():
            entry.done.set_exception(problem)


def _expire(entries: Sequence[_Entry]) -> None:
    _refuse(entries, OutcomeUnknown("the stores did not answer in time"))
