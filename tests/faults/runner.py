"""Runs a subscription, injects faults into its platform, audits the result."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from setup.local.ports import HOST
from tests.faults.audit import Audit, Findings
from tests.faults.audit_reads import ask_all, read_log
from tests.faults.catalogue import Fault
from tests.faults.fault_context import OWN_MINUTES, FaultContext
from tests.faults.fault_platform import PROMISE_S, FaultPlatform
from tests.faults.outcome import sent_tags
from tests.faults.running_load import QUIET_S, LoadResult, RunningLoad, seconds_until_normal
from tests.faults.table_row import Injected, Row, make_row
from tests.faults.targets import Targets
from tests.log_ends import log_ends
from tests.webpanel.eventtime import MINUTE_MS
from tests.webpanel.options import STREAM_START_MS, SubscriptionOptions

_LEAD_S: Final = 6.0
_PATIENCE_S: Final = 60.0
# Event time runs faster than the clock, so that minutes close, but must stay within a day.
_STEP_MS: Final = 200.0
_SPAN_MS: Final = 20 * 60 * MINUTE_MS

Say = Callable[[str], None]


class Runner:
    """Runs subscriptions on one platform, one after the other, each later in event time."""

    def __init__(
        self, fault_platform: FaultPlatform, *, rate: float, seed: int, say: Say = print
    ) -> None:
        """``rate``: tags per second; ``seed``: of the tags and of random choices of faults."""
        self._fault_platform = fault_platform
        self._rate = rate
        self._seed = seed
        self._say = say
        self._start_ms = STREAM_START_MS + OWN_MINUTES * MINUTE_MS

    def one(self, fault: Fault) -> Row:
        """Run a subscription with this fault only."""
        expected_s = _LEAD_S + fault.hold_s + fault.times * fault.every_s + fault.whole_s
        with self._subscription(expected_s + _PATIENCE_S * 4) as (load, context, begins):
            _pause(load, _LEAD_S)
            injected = self.inject(load, context, fault)
            result = load.finish()
            return make_row(fault.name, result, [injected], self._audit(context, result, begins))

    def random(self, faults: Sequence[Fault], minutes: float) -> Row:
        """Run one subscription with random faults until the time is over."""
        seed = self._seed  # Advances to the next subscription.
        random = Random(f"chaos {seed}")
        injected: list[Injected] = []
        with self._subscription(minutes * 60 + _PATIENCE_S * 5) as (load, context, begins):
            end_s = time.monotonic() + minutes * 60
            _pause(load, _LEAD_S)
            bag: list[Fault] = []
            while True:
                # Each once before any repeats.
                bag = bag or random.sample(faults, len(faults))
                fault = bag.pop()
                self._say(f"{end_s - time.monotonic():5.0f} s left: {fault.name}")
                before = load.samples[-1].dropped
                injected.append(self.inject(load, context, fault))
                self._say(
                    f"      {injected[-1].summary()}, {load.samples[-1].dropped - before} dropped"
                )
                if time.monotonic() > end_s:
                    break
                _pause(load, random.uniform(0, 5))
            result = load.finish()
            findings = self._audit(context, result, begins)
        names = f"chaos, {len(injected)} faults in {minutes:g} min, seed {seed}"
        return make_row(names, result, injected, findings)

    def inject(self, load: RunningLoad, context: FaultContext, fault: Fault) -> Injected:
        """Inject, hold, heal, and wait until nothing is dropped and every part is healthy."""
        first_s = last_s = time.monotonic()
        refused = _refused(load)
        for number in range(fault.times):
            if number:
                _pause(load, fault.every_s)
            last_s = time.monotonic()
            heal = fault.inject(context)
        _pause(load, fault.hold_s)
        heal()
        healed_s = time.monotonic()
        whole_s, problem = context.wait_whole(fault.whole_s + _PATIENCE_S)
        deadline = time.monotonic() + _PATIENCE_S
        while (
            normal_s := seconds_until_normal(tuple(load.samples), first_s, healed_s)
        ) is None and time.monotonic() < deadline:
            _pause(load, 0.5)
        broken = []
        if problem is not None:
            broken.append(f"{fault.name}: still not healthy: {problem}")
        elif whole_s > fault.whole_s:
            broken.append(f"{fault.name}: healthy after {whole_s:.0f} s, at most {fault.whole_s:g}")
        if normal_s is None:
            broken.append(f"{fault.name}: never {QUIET_S:g} s without a drop")
        elif (after_s := normal_s - (last_s - first_s)) > fault.normal_s:
            broken.append(f"{fault.name}: normal after {after_s:.1f} s, at most {fault.normal_s:g}")
        refused = _refused(load) - refused
        if fault.redis_only and refused:
            broken.append(f"{fault.name}: {refused} tags refused, and Redis is no reason for that")
        return Injected(
            fault.name, fault.dropped_s, first_s, normal_s, whole_s, problem, tuple(broken)
        )

    @contextmanager
    def _subscription(
        self, most_s: float
    ) -> Iterator[tuple[RunningLoad, FaultContext, dict[int, int]]]:
        step_ms = min(_STEP_MS, _SPAN_MS / (most_s * self._rate))
        options = SubscriptionOptions(
            port=self._fault_platform.platform.http_port,
            rate=self._rate,
            duration_s=most_s,
            seed=self._seed,
            step_ms=max(1.0, step_ms),
            start_ms=self._start_ms,
            aggregate_lag_s=PROMISE_S,
            tags_per_aggregate=200,
        )
        self._seed += 1
        context = FaultContext(
            self._fault_platform.platform,
            Targets(self._fault_platform.platform),
            Random(f"faults {self._seed}"),
            self._start_ms,
            self._fault_platform.cut_off,
            self._fault_platform.small_disks,
        )
        context.wait_whole(_PATIENCE_S)
        begins = asyncio.run(log_ends(self._bootstrap))
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            load = RunningLoad(options, Path(folder))
            try:
                yield load, context, begins
            finally:
                load.kill()
        # Aligned to spans of minutes, for the faults' own tags and the audit's ranges.
        last_ms = options.event_ms(load.samples[-1].sent if load.samples else 0)
        span_ms = OWN_MINUTES * MINUTE_MS
        self._start_ms = (last_ms // span_ms + 2) * span_ms

    def _audit(self, context: FaultContext, result: LoadResult, begins: dict[int, int]) -> Findings:
        sent = [*sent_tags(result.options, result.outcomes), *context.own_tags]
        values, _ = asyncio.run(read_log(self._bootstrap, begins))
        audit = Audit(sent, values, self._seed)
        # The promise, plus one second more than the product's own margin.
        time.sleep(PROMISE_S)
        port = self._fault_platform.platform.http_port
        profiles = audit.profile_questions()
        answers = asyncio.run(ask_all(HOST, port, [one.path for one in profiles]))
        for question, answer in zip(profiles, answers, strict=True):
            audit.judge_profile(question, answer)
        audit.judge_pairs(context.paired, profiles, answers)
        aggregates = audit.aggregate_questions()
        answers = asyncio.run(ask_all(HOST, port, [one.path for one in aggregates]))
        for question, answer in zip(aggregates, answers, strict=True):
            audit.judge_aggregate(question, answer)
        return audit.findings

    @property
    def _bootstrap(self) -> str:
        return self._fault_platform.platform.environment()["TAGS_KAFKA_BOOTSTRAP"]


def _refused(load: RunningLoad) -> int:
    """Number of tags answered with 5xx so far."""
    return load.samples[-1].tags_5xx if load.samples else 0


def _pause(load: RunningLoad, seconds: float) -> None:
    """Wait; raises RuntimeError if the load fails or ends meanwhile."""
    end_s = time.monotonic() + seconds
    while True:
        if not load.alive or (load.samples and load.samples[-1].state != "running"):
            raise RuntimeError("the load ended before it was told to")
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(0.2, left_s))
