"""The engine: sends the stream and the queries on schedule, and judges the answers."""

import asyncio
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from tests.webpanel.aggregate_judge import judge_aggregate
from tests.webpanel.aggregate_oracle import AggregateOracle
from tests.webpanel.aggregate_questions import AggregateQuestion, AggregateQuestions
from tests.webpanel.connections import Exchange, Failure, Pool
from tests.webpanel.counters import Counters
from tests.webpanel.http_wire import request_bytes, request_head
from tests.webpanel.ledger import AGGREGATE, PROFILE, TAG, Ledger
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.profile_judge import judge_profile
from tests.webpanel.profile_oracle import ProfileOracle
from tests.webpanel.profile_questions import ProfileQuestion, ProfileQuestions
from tests.webpanel.schedule import Schedule
from tests.webpanel.settled import Horizon
from tests.webpanel.stream import tag_codes, tag_json

_TICK_S = 0.002
_STALL_S = 0.02
_SAMPLE_S = 0.02
_BURST = 20  # maximum of tags per tick: after a stall the panel catches up at 10,000/s
_WARM = 8


class Subscription:
    """One run of the panel against one server: start, pause, resume, close.

    The load is open-loop: tags are sent when due, whatever the outcome of earlier ones. All
    methods must be called on the event loop that called `start`.
    """

    def __init__(
        self,
        options: SubscriptionOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_tag: Callable[[int, int | Failure], None] = lambda index, outcome: None,
    ) -> None:
        """Prepare tables and oracles; nothing is sent yet.

        ``on_tag`` is called once per tag with its number, and its status or the kind of failure.
        """
        self.options = options
        self.schedule = Schedule(options)
        self.ledger = Ledger(self.schedule.total)
        self._clock = clock
        self._on_tag = on_tag
        self._codes = tag_codes(options.seed)
        self._profiles = ProfileOracle(options.watched_cookies)
        self._aggregates = AggregateOracle(options.seed)
        self._ask_profile = ProfileQuestions(options.seed, self._profiles, options.start_ms)
        self._ask_aggregate = AggregateQuestions(options.seed, self._aggregates)
        self._profile_horizon = Horizon(options.profile_lag_s)
        self._aggregate_horizon = Horizon(options.aggregate_lag_s)
        self._pool = Pool(
            options.host,
            options.port,
            timeouts_s=(
                options.request_timeout_s,
                options.request_timeout_s,
                options.aggregate_timeout_s,
            ),
            most=options.connections,
            on_answer=self._answered,
            on_failure=self._failed,
            clock=clock,
        )
        self._head = request_head(options.host, options.port, options.token)
        self._tag_head = b"POST /user_tags" + self._head
        self._unsettled: set[int] = set()  # numbers of tags under way
        self._pending = 0  # queries under way
        self._asked_profiles = 0
        self._asked_aggregates = 0
        self._next_aggregate = 0.0
        self._origin = 0.0  # clock at position 0; every pause moves it
        self._paused_at = 0.0
        self._last_tick = 0.0
        self._next_sample = 0.0
        self._next_second = 0.0
        self._cpu_start = 0.0
        self.cpu_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._error: Exception | None = None

    @property
    def counters(self) -> Counters:
        """A snapshot of the counters."""
        return deepcopy(self.ledger.counters)

    @property
    def connections_opened(self) -> int:
        """Connections opened so far; a high number means that the server closes them."""
        return self._pool.opened

    async def start(self) -> None:
        """Start the stream; may be called once.

        Raises:
            RuntimeError: already started.
        """
        self._move("new", "starting")
        await self._pool.warm(min(_WARM, self.options.connections))
        now = self._clock()
        self._origin = self._last_tick = self._next_sample = now
        self._next_second = now + 1
        self._cpu_start = time.process_time()
        self._move("starting", "running")
        self._tick()

    def pause(self) -> None:
        """Send nothing until `resume`; requests in flight go on.

        Raises:
            RuntimeError: it is not running.
        """
        self._move("running", "paused")
        self._paused_at = self._clock()

    def resume(self) -> None:
        """Continue where `pause` stopped.

        Raises:
            RuntimeError: it is not paused.
        """
        self._move("paused", "running")
        self._origin += self._clock() - self._paused_at

    def finish(self) -> None:
        """End the stream now; queries that cover the tags sent so far still follow.

        Raises:
            RuntimeError: it is not running.
        """
        self._move("running", "running")
        sent = self.ledger.counters.tags.sent
        self.options = replace(self.options, max_tags=sent)
        self.schedule = Schedule(self.options)
        self.ledger.counters.total_tags = sent

    async def wait(self) -> None:
        """Wait until everything is sent and answered, or until it is closed.

        Raises:
            Exception: an unexpected error of the engine.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Stop for good and close the connections; requests in flight are not counted."""
        self._end("closed")
        await self._pool.close()

    def _move(self, before: str, after: str) -> None:
        counters = self.ledger.counters
        if counters.state != before:
            raise RuntimeError(f"the subscription is {counters.state}, not {before}")
        counters.state = after

    def _end(self, state: str) -> None:
        if self._over.is_set():
            return
        if self._timer is not None:
            self._timer.cancel()
        ledger = self.ledger
        ledger.close_second()
        ledger.counters.state = state
        due = ledger.counters.tags.sent // self.options.tags_per_aggregate
        ledger.counters.aggregate_answers.not_judged = max(0, due - self._asked_aggregates)
        due = ledger.counters.tags.sent // self.options.tags_per_profile
        ledger.counters.profile_answers.not_judged = max(0, due - self._asked_profiles)
        self._over.set()

    def _tick(self) -> None:
        """One step, every 2 ms: send what is due, check time-outs, close seconds."""
        try:
            now = self._clock()
            # After a stall, first read the answers that arrived in the meantime.
            if now - self._last_tick < _STALL_S:
                self._pool.sweep(now)
            self._last_tick = now
            if now >= self._next_sample:
                settled = min(self._unsettled, default=self.ledger.counters.tags.sent)
                self._profile_horizon.sample(now, settled)
                self._aggregate_horizon.sample(now, settled)
                self._next_sample = now + _SAMPLE_S
            if self.ledger.counters.state == "running":
                position = (now - self._origin) * self.options.rate
                self._send_tags(now, position)
                self._send_profiles(now, position)
                self._send_aggregate(now, position)
            if now >= self._next_second:
                self._next_second += 1
                self._keep_time(now)
                self.ledger.close_second()
            if self._finished():
                self._keep_time(now)
                self._end("finished")
                return
        except Exception as error:
            self._error = error
            self._end("broken")
            return
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _keep_time(self, now: float) -> None:
        paused = self.ledger.counters.state == "paused"
        self.ledger.counters.elapsed_s = (self._paused_at if paused else now) - self._origin
        self.cpu_s = time.process_time() - self._cpu_start

    def _send_tags(self, now: float, position: float) -> None:
        tags = self.ledger.requests[TAG]
        first = tags.sent
        for index in range(first, min(self.schedule.tags_due(position), first + _BURST)):
            due = self._origin + index / self.options.rate
            self.ledger.generator_lag.record(now - due)
            ms, code = self.options.event_ms(index), next(self._codes)
            self._profiles.record(index, ms, code)
            self._aggregates.record(ms, code)
            self._unsettled.add(index)
            tags.sent += 1
            body = tag_json(ms, code).encode()
            payload = b"%b%d\r\n\r\n%b" % (self._tag_head, len(body), body)
            self._pool.send(Exchange(TAG, (index, ms, code), payload, due, now))

    def _send_profiles(self, now: float, position: float) -> None:
        schedule, number = self.schedule, self._asked_profiles
        if number >= schedule.profiles or schedule.profile_position(number) > position:
            return
        if not self.options.drain and self._all_sent:
            return
        # One per tick: 500/s is more than any rate needs.
        horizon = min(schedule.profile_horizon(number), self._profile_horizon.index)
        question = self._ask_profile.next(horizon, self.options.event_ms(horizon))
        self._asked_profiles += 1
        due = self._origin + schedule.profile_position(number) / self.options.rate
        self._query(PROFILE, question, due, now)

    def _send_aggregate(self, now: float, position: float) -> None:
        if now < self._next_aggregate or (not self.options.drain and self._all_sent):
            return
        schedule, sent = self.schedule, self.ledger.requests[TAG].sent
        horizon = schedule.aggregate_horizon(position, self._aggregate_horizon.index)
        oldest, newest = schedule.answerable(horizon, sent)
        if newest < oldest or not schedule.aggregate_due(self._asked_aggregates, sent, newest):
            return
        self._asked_aggregates += 1
        self._next_aggregate = now + self.options.aggregate_interval_s
        self._query(AGGREGATE, self._ask_aggregate.next(oldest, newest), now, now)

    def _query(
        self, kind: int, question: ProfileQuestion | AggregateQuestion, due: float, now: float
    ) -> None:
        self._pending += 1
        self.ledger.requests[kind].sent += 1
        body = question.expected if self.options.debug else b""
        payload = request_bytes(question.path.encode(), self._head, body)
        self._pool.send(Exchange(kind, question, payload, due, now))

    @property
    def _all_sent(self) -> bool:
        return self.ledger.requests[TAG].sent >= self.schedule.total

    def _finished(self) -> bool:
        if not self._all_sent or self._unsettled or self._pending:
            return False
        if not self.options.drain:
            return True
        if self._asked_profiles < self.schedule.profiles:
            return False
        if self._asked_aggregates >= self.schedule.aggregates:
            return True
        if not self.schedule.closed_minutes:
            return True
        # Done once no further minute is, or can become, answerable.
        total = self.schedule.total
        oldest, newest = self.schedule.answerable(total, total)
        return self._aggregate_horizon.index >= total and newest < oldest

    def _answered(self, exchange: Exchange, status: int, body: bytes) -> None:
        kind, ledger = exchange.kind, self.ledger
        ledger.second[kind].record(self._clock() - exchange.due)
        ledger.requests[kind].answered(status)
        if kind == TAG:
            self._on_tag(exchange.subject[0], status)
            if status == 204:
                self._unsettled.discard(exchange.subject[0])
            else:
                ledger.requests[kind].dropped += 1
                self._tag_dropped(exchange)
            return
        self._pending -= 1
        question = exchange.subject
        if status != 200:
            ledger.requests[kind].dropped += 1
            self._unanswered(kind)
            return
        if kind == PROFILE:
            judgement = judge_profile(question, body, self._newer(question))
        else:
            judgement = judge_aggregate(question, body)
        ledger.judged(kind, judgement, question.path, question.expected, body)

    def _failed(self, exchange: Exchange, failure: Failure) -> None:
        if self._over.is_set():
            return
        kind, ledger = exchange.kind, self.ledger
        ledger.requests[kind].failed(failure)
        if failure is Failure.READ_TIMEOUT:
            ledger.second[kind].record(self._clock() - exchange.due)
        if kind == TAG:
            self._on_tag(exchange.subject[0], failure)
            self._tag_dropped(exchange)
        else:
            self._pending -= 1
            self._unanswered(kind)

    def _tag_dropped(self, exchange: Exchange) -> None:
        index, ms, code = exchange.subject
        self._unsettled.discard(index)
        self._profiles.drop(ms, code)
        self._aggregates.drop(ms, code)

    def _unanswered(self, kind: int) -> None:
        counters = self.ledger.counters
        answers = counters.profile_answers if kind == PROFILE else counters.aggregate_answers
        answers.unanswered += 1

    def _newer(self, question: ProfileQuestion) -> tuple[int, int]:
        """Views and buys of the cookie sent since the question was made."""
        if question.cookie is None:
            return 0, 0
        views, buys = self._profiles.history(question.cookie)
        return views.total - question.totals[0], buys.total - question.totals[1]
