"""The path of a tag: into the log, then 204, then to its profile without waiting for it.

Requests that arrive within ``linger_ms`` share one Kafka batch. The log is the commit point and
the only one: the partition actors apply it to both views. The replica also writes each tag to Redis
itself (the quick write), so that readers see it within milliseconds; a shard that hangs or is down
costs no tag and no latency.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from serve_app.core.errors import OutcomeUnknown, Problem, Unavailable
from serve_app.core.metrics import STORE_SECONDS, TAGS_ACCEPTED, NoRecorder, Recorder
from serve_app.core.tag import UserTag
from serve_app.stores.profiles import Placed, Profiles
from serve_app.stores.tag_log import Stored, TagLog

logger = logging.getLogger(__name__)

STORE_BUSY: Final = "too many tags are waiting for the log"

QUICK_WRITES: Final = 64
"""Most batches on their way to Redis at a time; further ones are left to the actors."""

_NO_REQUEST: Final = contextvars.Context()
"""A write serves many requests: its log lines must not carry the id of the first one."""


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How long tags are collected, how long they may wait, and how many may wait."""

    linger_ms: float = 8.0
    max_waiting: int = 2_000
    timeout_s: float = 5.0
    quick_writes: bool = True
    """Whether the replica writes profiles itself, or leaves that to the actors."""


@dataclass(frozen=True, slots=True)
class _PendingTag:
    tag: UserTag
    time_ms: int
    body: bytes
    request_id: bytes
    done: asyncio.Future[None]


class Ingest:
    """Accepts tags; outlives the clients that sent them.

    Writes run in tasks of their own: a client that disconnects, and the handler that Serve then
    cancels, take nothing back.
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
        """May be replaced at any time; tags that already wait keep their time-out."""
        self._recorder = recorder or NoRecorder()
        self._collected: list[_PendingTag] = []
        self._waiting = 0
        self._writes: set[asyncio.Task[None]] = set()
        self._quick: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Tags that have no answer yet."""
        return self._waiting + len(self._collected)

    async def accept(
        self, tag: UserTag, time_ms: int, body: bytes, request_id: bytes = b""
    ) -> None:
        """Return when ``tag`` is in the log.

        Args:
            tag: what `decode_timed_tag` made of ``body``.
            time_ms: its event time.
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
        entry = _PendingTag(tag, time_ms, body, request_id, loop.create_future())
        self._collected.append(entry)
        if len(self._collected) == 1:
            loop.call_later(self.limits.linger_ms / 1000, self._flush, context=_NO_REQUEST)
        await entry.done

    async def drain(self) -> None:
        """Return when every tag that was accepted so far has its answer."""
        self._flush()
        while self._writes or self._quick:
            await asyncio.wait(self._writes | self._quick)

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

    async def _write(self, entries: list[_PendingTag]) -> None:
        started_s = time.monotonic()
        try:
            stored = await self._log.append(
                [entry.body for entry in entries], [entry.request_id for entry in entries]
            )
        except Problem as problem:
            _refuse(entries, problem)
        except Exception as error:
            logger.exception("unexpected error while writing to the log")
            _refuse(entries, OutcomeUnknown(f"internal error: {error!r}"))
        else:
            # Started before the answers go out: a client that asks for the profile next finds
            # the tag there, unless Redis is slower than the client's round trip.
            self._write_profiles(entries, stored)
            accepted = 0
            for entry in entries:
                if not entry.done.done():
                    entry.done.set_result(None)
                    accepted += 1
            self._recorder.add(TAGS_ACCEPTED, accepted)
        finally:
            self._recorder.observe(STORE_SECONDS, time.monotonic() - started_s, "kafka", "append")
            self._waiting -= len(entries)

    def _write_profiles(
        self, entries: Sequence[_PendingTag], stored: Sequence[tuple[int, Stored]]
    ) -> None:
        """Begin to write what the log has to Redis; returns at once."""
        if not self.limits.quick_writes or len(self._quick) >= QUICK_WRITES:
            return
        placed = []
        rest = iter(entries)
        for count, where in stored:
            for index, entry in zip(range(count), rest, strict=False):
                offset = where.first_offset + index
                placed.append(
                    Placed(entry.tag, entry.time_ms, where.partition, offset, where.arrived_ms)
                )
        task = asyncio.create_task(self._quick_write(placed))
        self._quick.add(task)
        task.add_done_callback(self._quick.discard)

    async def _quick_write(self, placed: Sequence[Placed]) -> None:
        started_s = time.monotonic()
        try:
            await self._profiles.write(placed)
        except Exception:
            # Nobody waits for this, and the actors write all of it anyway.
            logger.exception("unexpected error while writing profiles")
        finally:
            self._recorder.observe(STORE_SECONDS, time.monotonic() - started_s, "redis", "write")


def _refuse(entries: Sequence[_PendingTag], problem: Problem) -> None:
    for entry in entries:
        if not entry.done.done():
            entry.done.set_exception(problem)


def _expire(entries: Sequence[_PendingTag]) -> None:
    _refuse(entries, OutcomeUnknown("the log did not answer in time"))
