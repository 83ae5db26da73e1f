"""Late, never wrong: an answer is given once it is known to hold what the contract promises.

For both queries the rule is the same: take what had been accepted at some moment after the
promise begins (the end offsets of a sample), and wait until the store is known to have worked off
that much. A sample that is not older than the promise is enough, and the oldest such sample asks
the least; as a rule it was met long ago, and the wait is nothing.
"""

import asyncio
import logging
import time
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from serve_app.core.answer import AggregateAnswer, ProfileAnswer, fill_rows
from serve_app.core.bucket import format_bucket
from serve_app.core.clock import Clock, SystemClock
from serve_app.core.deadline import Deadline
from serve_app.core.errors import RuleBroken, Unavailable
from serve_app.core.metrics import (
    AGGREGATE_WAIT_SECONDS,
    AGGREGATE_WAITS,
    STORE_SECONDS,
    NoRecorder,
    Recorder,
)
from serve_app.core.query import AggregateQuery, ProfileQuery
from serve_app.stores.aggregates import Aggregates, Snapshot
from serve_app.stores.log_ends import LogEnds, Offsets, Sample
from serve_app.stores.profiles import Profiles

logger = logging.getLogger(__name__)

AGGREGATE_PROMISE_S: Final = 60.0
"""A tag accepted longer ago than this must be counted (SPEC.md)."""
PROFILE_PROMISE_S: Final = 10.0
"""A tag accepted longer ago than this must be in its profile (SPEC.md)."""
MARGIN_S: Final = 1.0
"""Promised earlier than asked: the clocks of the two sides do not start together."""
_POLL_S: Final = 0.25
_MAX_POLL_S: Final = 2.0
_POLL_SHARE: Final = 8
"""Who has waited for long looks less often, and waits an eighth longer at most: through an outage
of a minute every query of that minute waits, and looking is what a replica then does most."""
_STATEMENT_S: Final = 10.0


class FreshAggregates:
    """Aggregate answers that hold every tag accepted ``promise_s`` before they were asked."""

    def __init__(
        self,
        aggregates: Aggregates,
        log_ends: LogEnds,
        *,
        promise_s: float = AGGREGATE_PROMISE_S,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """``promise_s`` may be set below the contract's minute; ``log_ends`` must be started."""
        self._aggregates = aggregates
        self._log_ends = log_ends
        self.promise_s = promise_s
        self._clock = clock or SystemClock()
        self._recorder = recorder or NoRecorder()
        self.waited = 0
        """Answers so far that were not ready at once."""

    async def answer(self, query: AggregateQuery, deadline: Deadline) -> AggregateAnswer:
        """The answer, as late as ``deadline`` if need be.

        Raises:
            Unavailable: the log or the database did not get there before ``deadline``, or tags of
                the query's names are not counted by name.
            RuleBroken: the range begins before the tables do.
        """
        asked_s = self._clock.monotonic()
        promised_s = asked_s - max(0.0, self.promise_s - MARGIN_S)
        sample = await self._log_ends.wait_since(promised_s, deadline.left_s())
        if sample is None:
            raise Unavailable(f"the log cannot be reached: {self._log_ends.last_error}")
        first = True
        while True:
            waited_s = self._clock.monotonic() - asked_s
            problem, snapshot = await self._snapshot(query, deadline, tell=first)
            if snapshot is not None:
                problem = shortfall(sample, snapshot)
                if not problem:
                    self._recorder.observe(AGGREGATE_WAIT_SECONDS, waited_s)
                    check_answerable(query, snapshot)
                    return fill_rows(query, snapshot.sums)
            if first:
                self.waited += 1
                self._recorder.add(AGGREGATE_WAITS, 1)
                first = False
            if deadline.over:
                self._recorder.observe(AGGREGATE_WAIT_SECONDS, waited_s)
                raise Unavailable(problem, retry_after_s=5)
            pause_s = min(max(_POLL_S, waited_s / _POLL_SHARE), _MAX_POLL_S)
            await self._clock.sleep(min(pause_s, deadline.left_s()))

    async def _snapshot(
        self, query: AggregateQuery, deadline: Deadline, *, tell: bool
    ) -> tuple[str, Snapshot | None]:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(min(_STATEMENT_S, deadline.left_s() + _POLL_S)):
                return "", await self._aggregates.snapshot(query)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if tell:
                logger.warning("aggregates cannot be read: %r", error)
            return f"the database does not answer: {type(error).__name__}", None
        finally:
            took_s = time.monotonic() - started_s
            self._recorder.observe(STORE_SECONDS, took_s, "mysql", "read")


class FreshProfiles:
    """Profile answers that hold every tag accepted ``promise_s`` before they were asked.

    Redis has a tag before it is acknowledged, unless it is owed: then the repair loop must have
    got past it. With the log out of reach for longer than the promise nothing can be known of
    what other replicas owe, and nothing new is accepted either: Redis answers alone.
    """

    def __init__(
        self,
        profiles: Profiles,
        log_ends: LogEnds,
        *,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Both must be started."""
        self._profiles = profiles
        self._log_ends = log_ends
        self._clock = clock or SystemClock()
        self._recorder = recorder or NoRecorder()

    async def answer(self, query: ProfileQuery, deadline: Deadline) -> ProfileAnswer:
        """The answer, as late as ``deadline`` if need be.

        Raises:
            Unavailable: a profile write is owed for too long, or no node of the shard answers.
        """
        promised_s = self._clock.monotonic() - PROFILE_PROMISE_S + MARGIN_S
        sample = self._log_ends.oldest_since(promised_s)
        if sample is not None:
            while lag := behind(sample.repairs, self._repaired()):
                if deadline.over:
                    raise Unavailable(f"profiles: {sum(lag.values())} tags are owed to Redis")
                await self._log_ends.wait_since(self._clock.monotonic(), deadline.left_s())
        started_s = time.monotonic()
        try:
            return await self._profiles.read(query, deadline)
        finally:
            took_s = time.monotonic() - started_s
            self._recorder.observe(STORE_SECONDS, took_s, "redis", "read")

    def _repaired(self) -> Offsets:
        newest = self._log_ends.newest
        return newest.repaired if newest is not None else {}


def check_answerable(query: AggregateQuery, snapshot: Snapshot) -> None:
    """That the sums are whole.

    Raises:
        RuleBroken: some minutes are older than what is kept. Zeros would be a wrong answer.
        Unavailable: a name of the query is past the dictionary's cap, or may be.
    """
    if query.from_minute < min(snapshot.first_kept_minute, query.to_minute):
        first = format_bucket(snapshot.first_kept_minute)
        raise RuleBroken(f"time_range: nothing before {first} is kept", field="time_range")
    if snapshot.capped:
        raise Unavailable(
            f"{', '.join(sorted(snapshot.capped))}: there are more names than are counted one by "
            "one (TAGS_ACTOR_DICTIONARY_MAX_NAMES), and this may be one of the others",
            retry_after_s=3600,
        )


def shortfall(sample: Sample, snapshot: Snapshot) -> str:
    """What ``snapshot`` lacks of ``sample``, in words; empty if nothing."""
    if not snapshot.topic_ids <= {sample.topic_id}:
        return "the topic was made again: the tables count another one"
    lag = behind(sample.tags, snapshot.counted)
    return f"aggregates are {sum(lag.values())} tags behind: {lag}" if lag else ""


def behind(wanted: Offsets, reached: Offsets) -> dict[int, int]:
    """Records by which ``reached`` falls short of ``wanted``; empty if it does not."""
    return {
        partition: offset - reached.get(partition, 0)
        for partition, offset in wanted.items()
        if offset > reached.get(partition, 0)
    }
