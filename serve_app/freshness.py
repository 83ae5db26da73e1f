"""Late, never wrong: an answer is given only if it is known to hold what the contract promises.

One rule for both views. Take a sample of the log's end offsets that is no older than the promise,
read the view's data together with its position, and answer if the position covers the sample; else
read again until the deadline, then refuse. Of the samples that are new enough, the oldest asks the
least: normally the view covered it long ago, and there is no wait.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from serve_app.core.answer import AggregateAnswer, ProfileAnswer, fill_rows
from serve_app.core.bucket import format_bucket
from serve_app.core.clock import Clock, SystemClock
from serve_app.core.deadline import Deadline
from serve_app.core.errors import RuleBroken, StoreAway, Unavailable
from serve_app.core.metrics import (
    AGGREGATE_WAIT_SECONDS,
    AGGREGATE_WAITS,
    PROFILE_WAITS,
    STORE_SECONDS,
    Counter,
    NoRecorder,
    Recorder,
)
from serve_app.core.position import Reached
from serve_app.core.query import AggregateQuery, ProfileQuery
from serve_app.stores.aggregates import Aggregates, Snapshot
from serve_app.stores.log_ends import LogEnds, Offsets, Sample
from serve_app.stores.profiles import Profiles

logger = logging.getLogger(__name__)
T = TypeVar("T")
Read = Callable[[], Awaitable[tuple[Reached, T]]]
"""Reads data and position together; raises `StoreAway`."""

AGGREGATE_PROMISE_S: Final = 60.0
"""A tag accepted longer ago than this must be counted (docs/contract.md)."""
PROFILE_PROMISE_S: Final = 10.0
"""A tag accepted longer ago than this must be in its profile (docs/contract.md)."""
MARGIN_S: Final = 1.0
"""Safety margin of the promise: the two sides' clocks do not start together."""
_POLL_SHARE: Final = 8
"""Back off: poll every eighth of the time waited so far. In an outage of a minute every query of
that minute waits, and polling would be most of a replica's work."""


class Freshness:
    """The rule applied to one view."""

    def __init__(
        self,
        view: str,
        log_ends: LogEnds,
        *,
        promise_s: float,
        poll_s: tuple[float, float],
        clock: Clock,
        recorder: Recorder,
        waits: Counter,
    ) -> None:
        """Performs no I/O of its own.

        Args:
            view: name of the view, for messages.
            log_ends: must be started.
            promise_s: a tag accepted longer ago than this must be in every answer.
            poll_s: least and most seconds between two reads.
            clock: for the promise and the waits.
            recorder: counts answers that had to wait.
            waits: the counter for these.
        """
        self._view = view
        self._log_ends = log_ends
        self.promise_s = promise_s
        self._poll_s = poll_s
        self._clock = clock
        self._recorder = recorder
        self._waits = waits
        self.waited = 0
        """Answers so far that had to wait."""

    async def since_promise(self, deadline: Deadline) -> Sample:
        """The sample that an answer asked for now must cover; waits for one to be taken.

        Raises:
            Unavailable: the log was not reached before ``deadline``.
        """
        sample = await self._log_ends.wait_since(self.promised_s(), deadline.left_s())
        if sample is None:
            raise self._no_log()
        return sample

    def since_promise_or_newest(self) -> Sample:
        """The same without waiting; while some of the log is away, the newest sample there is.

        Raises:
            Unavailable: no sample was ever taken.
        """
        sample = self._log_ends.oldest_since(self.promised_s()) or self._log_ends.newest
        if sample is None:
            raise self._no_log()
        return sample

    async def covered(self, sample: Sample, deadline: Deadline, read: Read[T]) -> tuple[T, float]:
        """The first result of ``read`` whose position covers ``sample``, and the seconds waited.

        Raises:
            Unavailable: ``deadline`` passed, or the view lost what it cannot get back.
        """
        asked_s = self._clock.monotonic()
        least_s, most_s = self._poll_s
        first = True
        while True:
            waited_s = self._clock.monotonic() - asked_s
            try:
                reached, data = await read()
                problem = shortfall(self._view, sample, reached)
                if not problem:
                    return data, waited_s
            except StoreAway as away:
                problem = str(away)
            if first:
                first = False
                self.waited += 1
                self._recorder.add(self._waits, 1)
            if deadline.over:
                raise Unavailable(problem, retry_after_s=5)
            pause_s = min(max(least_s, waited_s / _POLL_SHARE), most_s)
            await self._clock.sleep(min(pause_s, deadline.left_s()))

    def promised_s(self) -> float:
        """Monotonic seconds: an answer given now must hold what was accepted before this."""
        return self._clock.monotonic() - max(0.0, self.promise_s - MARGIN_S)

    def _no_log(self) -> Unavailable:
        return Unavailable(f"the log cannot be reached: {self._log_ends.last_error}")


class FreshAggregates:
    """Aggregate answers that hold every tag accepted ``promise_s`` before they were asked."""

    _STATEMENT_S: Final = 10.0

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
        self._recorder = recorder or NoRecorder()
        self.rule = Freshness(
            "aggregates",
            log_ends,
            promise_s=promise_s,
            poll_s=(0.25, 2.0),
            clock=clock or SystemClock(),
            recorder=self._recorder,
            waits=AGGREGATE_WAITS,
        )

    async def answer(self, query: AggregateQuery, deadline: Deadline) -> AggregateAnswer:
        """The answer; may wait until ``deadline``.

        Raises:
            Unavailable: the log or the database did not get there before ``deadline``, or tags of
                the query's names are not counted by name.
            RuleBroken: the range begins before the tables do.
        """

        async def read() -> tuple[Reached, Snapshot]:
            started_s = time.monotonic()
            try:
                timeout_s = min(self._STATEMENT_S, deadline.left_s() + 0.25)
                snapshot = await self._aggregates.snapshot(query, timeout_s)
            finally:
                took_s = time.monotonic() - started_s
                self._recorder.observe(STORE_SECONDS, took_s, "mysql", "read")
            return Reached(snapshot.topic_ids, snapshot.counted), snapshot

        sample = await self.rule.since_promise(deadline)
        snapshot, waited_s = await self.rule.covered(sample, deadline, read)
        self._recorder.observe(AGGREGATE_WAIT_SECONDS, waited_s)
        check_answerable(query, snapshot)
        return fill_rows(query, snapshot.sums)


class FreshProfiles:
    """Profile answers that hold every tag accepted 10 s before they were asked.

    A partition of the log that cannot be asked takes nothing from this replica, and an answer must
    cover the newest end of it that is known. One gap is left: a tag that another replica, which
    still reaches the partition, accepted since, whose quick write missed the shard, and which the
    actors have not applied either. So a shard that failed or changed since that end was known is
    refused until all of the log can be asked again. Without quick writes all are.
    """

    def __init__(
        self,
        profiles: Profiles,
        log_ends: LogEnds,
        *,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """``profiles`` and ``log_ends`` must be started."""
        self._profiles = profiles
        self._recorder = recorder or NoRecorder()
        self.quick_writes = True
        """Whether replicas write each tag to its shard at once."""
        self.rule = Freshness(
            "profiles",
            log_ends,
            promise_s=PROFILE_PROMISE_S,
            poll_s=(0.05, 0.25),
            clock=clock or SystemClock(),
            recorder=self._recorder,
            waits=PROFILE_WAITS,
        )

    async def answer(self, query: ProfileQuery, deadline: Deadline) -> ProfileAnswer:
        """The answer; may wait until ``deadline``.

        Raises:
            Unavailable: the cookie's shard does not answer or is behind, and how far; or the log
                was never reached.
        """

        async def read() -> tuple[Reached, ProfileAnswer]:
            started_s = time.monotonic()
            try:
                return await self._profiles.read(query)
            except StoreAway:
                await self._profiles.refresh(min(0.05, deadline.left_s()))
                raise
            finally:
                took_s = time.monotonic() - started_s
                self._recorder.observe(STORE_SECONDS, took_s, "redis", "read")

        sample = self.rule.since_promise_or_newest()
        # Taken before the wait: a sample that was new enough for the query stays so.
        is_old = sample.asked_s < self.rule.promised_s()
        answer, _ = await self.rule.covered(sample, deadline, read)
        if not is_old:
            return answer
        if not self.quick_writes:
            missing = "nobody but the actors writes profiles"
        elif self._profiles.trouble_s(query.cookie) > sample.asked_s - MARGIN_S:
            missing = "the shard was in trouble since it last could"
        else:
            return answer
        raise Unavailable(
            f"profiles: the log cannot be reached, and {missing}: it may lack accepted tags",
            retry_after_s=5,
        )


def check_answerable(query: AggregateQuery, snapshot: Snapshot) -> None:
    """Check that the sums are complete.

    Raises:
        RuleBroken: some minutes are older than what is kept. Zeros would be a wrong answer.
        Unavailable: a name of the query is past the dictionary's cap, or may be.
    """
    # A bound of 0 is none: nothing was dropped yet, and minutes before 1970 are empty.
    if snapshot.first_kept_minute and query.from_minute < min(
        snapshot.first_kept_minute, query.to_minute
    ):
        first = format_bucket(snapshot.first_kept_minute)
        raise RuleBroken(f"time_range: nothing before {first} is kept", field="time_range")
    if snapshot.capped:
        raise Unavailable(
            f"{', '.join(sorted(snapshot.capped))}: there are more names than are counted one by "
            "one (TAGS_ACTOR_DICTIONARY_MAX_NAMES), and this may be one of the others",
            retry_after_s=3600,
        )


def shortfall(view: str, sample: Sample, reached: Reached) -> str:
    """What a view lacks of ``sample``, in words; empty if it covers it."""
    if not reached.topic_ids <= {sample.topic_id}:
        return f"the topic was made again: the {view} are of another one"
    if reached.lost:
        return f"{view}: {reached.lost}"
    lag = behind(sample.ends, reached.offsets)
    return f"{view} are {sum(lag.values())} tags behind: {lag}" if lag else ""


def behind(wanted: Offsets, reached: Mapping[int, int]) -> dict[int, int]:
    """Records by which ``reached`` falls short of ``wanted``; empty if it does not."""
    return {
        partition: offset - reached.get(partition, 0)
        for partition, offset in wanted.items()
        if offset > reached.get(partition, 0)
    }
