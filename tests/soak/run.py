"""One leg of a soak: a platform on kept data, a subscription, the steps, the audit.

A signal ends a leg in the same way as its time: the stream ends, the remaining queries are sent,
log and stores are compared. A leg that is killed leaves its samples and the data.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

from setup.local.folder import CHECKOUT
from setup.local.platform import Platform
from tests.bench._serve_config import write_variant
from tests.faults.audit_reads import read_log
from tests.faults.catalogue import FAULTS, Fault
from tests.faults.fault_context import FaultContext
from tests.faults.fault_platform import FaultPlatform
from tests.faults.outcome import ACKNOWLEDGED, sent_tags
from tests.faults.runner import Runner
from tests.faults.running_load import LoadResult, RunningLoad, Sample
from tests.faults.targets import Targets
from tests.log_ends import log_ends
from tests.results import machine
from tests.soak import sampling
from tests.soak.name_flood import (
    FLOOD_ORIGINS,
    NEW_TAGS,
    ask_after_flood,
    ask_new_name,
    flood_tags,
    new_tags,
    send,
)
from tests.soak.plan import FLOOD, KEPT_MS, MAX_NAMES, NEW_NAME, Step, due, plan
from tests.soak.results import Asked, Event, Leg, Soak, SoakSample
from tests.waiting import wait_for_rest
from tests.webpanel.eventtime import DAY_MS, MINUTE_MS
from tests.webpanel.options import SubscriptionOptions

SAMPLE_EVERY_S: Final = 60.0
PROMISE_S: Final = 10.0
"""Age (s) at which a tag must be in aggregates, and time to answer. At hundreds of seconds of event
time in one, the contract's 60 s would leave hours at both ends of the day that nobody asks for."""
SMALL_S: Final = 15.0
"""Longest that a fault holds."""
SETTINGS: Final = {
    "TAGS_ACTOR_DICTIONARY_MAX_NAMES": str(MAX_NAMES),
    "TAGS_AGGREGATE_PROMISE_S": str(PROMISE_S),
}
_OWN_MS: Final = 10 * MINUTE_MS
"""Event time before each leg, reserved for the flood's tags."""
_AHEAD_MS: Final = 10 * DAY_MS
"""Event time of the new name's tags after the end of the stream. The Web Panel judges each minute
of the stream, so it can have no tags of others; later legs end before that, too."""
_COUNTED_S: Final = PROMISE_S + 2
DRAIN_S: Final = 600.0
"""What remains at the end may wait for views that are behind, on a busy machine."""
_TOOL_S: Final = 1_800.0
_VERIFY_WAIT_S: Final = 15.0

Say = Callable[[str], None]


def small_faults(stack: str) -> dict[str, Fault]:
    """Faults of the catalogue that need no special platform, by name."""
    return {
        fault.name: fault
        for fault in FAULTS
        if stack in fault.stacks
        and fault.chaos
        and fault.hold_s <= SMALL_S
        and not fault.cut_off
        and not fault.small_disk
    }


def steps_of(about: Mapping[str, Any]) -> list[Step]:
    """The plan of a soak, from its arguments."""
    return plan(
        float(about["hours"]) * 3_600,
        sorted(small_faults(about["stack"])),
        about["seed"],
        KEPT_MS / (float(about["rate"]) * float(about["step_ms"])),
    )


class SoakLeg:
    """One leg; `run` returns when its time is over or `stop` is set."""

    def __init__(self, soak: Soak, file: Path, root: Path, stop: threading.Event, say: Say) -> None:
        """``root``: run folder with the soak's data; ``file``: result file."""
        about = soak.about
        self._soak = soak
        self._file = file
        self._stop = stop
        self._say = say
        self._total_s = float(about["hours"]) * 3_600
        self._rate = float(about["rate"])
        self._step_ms = float(about["step_ms"])
        self._faults = small_faults(about["stack"])
        self._steps = steps_of(about)
        self._config = root.with_suffix(".serve.yaml")
        write_variant(self._config, version=self._version())
        self._platform = Platform(
            root,
            stack=about["stack"],
            free=True,
            serve_config=self._config,
            extra_environment=SETTINGS,
        )
        self._before_s = soak.seconds
        self._start_ms = soak.next_start_ms
        self._began_s = 0.0
        self._lock = threading.Lock()
        self._leg = Leg(
            started=datetime.now(UTC).isoformat(timespec="seconds"), commit=machine.commit()
        )

    def run(self) -> None:
        """Start, load, compare, stop; the data stays."""
        with self._platform as platform:
            platform.up()
            wait_for_rest()
            bootstrap = platform.environment()["TAGS_KAFKA_BOOTSTRAP"]
            begins = asyncio.run(log_ends(bootstrap))
            left_s = self._total_s - self._before_s
            options = SubscriptionOptions(
                port=platform.http_port,
                rate=self._rate,
                duration_s=left_s + 600,
                seed=self._soak.about["seed"] + len(self._soak.legs) + 1,
                step_ms=self._step_ms,
                start_ms=self._start_ms + _OWN_MS,
                aggregate_lag_s=PROMISE_S,
                aggregate_timeout_s=PROMISE_S,
            )
            with tempfile.TemporaryDirectory(prefix="soak-load-") as folder:
                load = RunningLoad(options, Path(folder))
                # Not before: a platform that does not come up is no leg.
                self._soak.legs.append(self._leg)
                try:
                    self._began_s = time.monotonic()
                    self._under_load(load, options)
                    self._say("ending the stream; sending the remaining queries")
                    result = load.finish(DRAIN_S)
                finally:
                    load.kill()
            self._audit(result, begins, bootstrap)

    @property
    def _now_s(self) -> float:
        """Seconds under load, over all legs."""
        return self._before_s + time.monotonic() - self._began_s

    def _under_load(self, load: RunningLoad, options: SubscriptionOptions) -> None:
        sampling_over = threading.Event()
        sampler = threading.Thread(
            target=self._sample_all, args=(load, options, sampling_over), daemon=True
        )
        sampler.start()
        try:
            while self._now_s < self._total_s and not self._stop.wait(1):
                if not load.alive:
                    raise RuntimeError("the load ended before it was told to")
                step = due(self._steps, [event.what for event in self._soak.events], self._now_s)
                if step is not None:
                    self._do(step, load, options)
        finally:
            sampling_over.set()
            sampler.join(SAMPLE_EVERY_S)

    # --- what is done ------------------------------------------------------------------------

    def _do(self, step: Step, load: RunningLoad, options: SubscriptionOptions) -> None:
        event = Event(round(self._now_s, 1), step.what)
        with self._lock:
            self._soak.events.append(event)
        self._say(f"{step.what} …")
        try:
            event.failed, event.outcome = self._outcome(step, load, options)
        except Exception as error:  # the soak continues; the result records the error
            event.failed, event.outcome = True, f"{type(error).__name__}: {error}"[:300]
        event.until_s = round(self._now_s, 1)
        self._say(f"{step.what}: {event.outcome}")
        self._save()

    def _outcome(
        self, step: Step, load: RunningLoad, options: SubscriptionOptions
    ) -> tuple[bool, str]:
        """Whether it failed, and what came of it."""
        if step.what == FLOOD:
            return self._flood()
        if step.what == NEW_NAME:
            return self._new_name(options)
        if step.what == "deploy":
            write_variant(self._config, version=self._version())
            self._platform.deploy()
            return False, "a new version of the code"
        if step.what.startswith("rebuild"):
            status, told = self._tool("actors.tools.rebuild", step.what.split()[1])
            return status != 0, told
        context = FaultContext(
            self._platform, Targets(self._platform), Random(step.at_s), options.start_ms
        )
        runner = Runner(
            FaultPlatform(self._platform), rate=self._rate, seed=int(step.at_s), say=self._say
        )
        done = runner.inject(load, context, self._faults[step.what])
        return done.problem is not None or done.normal_s is None, done.summary()

    def _flood(self) -> tuple[bool, str]:
        port, ms = self._platform.http_port, self._start_ms
        accepted = asyncio.run(send(port, flood_tags(ms)))
        time.sleep(_COUNTED_S)
        problem = ask_after_flood(port, ms)
        few = accepted < 0.9 * FLOOD_ORIGINS
        told = problem or "then its last name was refused, and an older one answered"
        return few or bool(problem), f"{accepted} of {FLOOD_ORIGINS} accepted; {told}"

    def _new_name(self, options: SubscriptionOptions) -> tuple[bool, str]:
        port = self._platform.http_port
        ms = (options.event_ms(options.total_tags) + _AHEAD_MS) // MINUTE_MS * MINUTE_MS
        accepted = asyncio.run(send(port, new_tags(ms)))
        time.sleep(_COUNTED_S)
        problem = ask_new_name(port, ms, accepted)
        told = problem or "then answered by name"
        return bool(problem), f"{accepted} of {NEW_TAGS} tags accepted; {told}"

    def _version(self) -> str:
        """Version of the code: changes with the deploy, and stays changed in later legs."""
        done = [event.what for event in self._soak.events]
        return f"soak-{done.count('deploy')}"

    def _tool(self, module: str, *arguments: str) -> tuple[int, str]:
        """Exit status, and the last line of output."""
        try:
            done = subprocess.run(
                (sys.executable, "-m", module, *arguments),
                cwd=CHECKOUT,
                env=_environment(self._platform.environment()),
                capture_output=True,
                text=True,
                timeout=_TOOL_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 124, f"no end after {_TOOL_S:.0f} s"
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return done.returncode, f"exit status {done.returncode}; {lines[-1] if lines else ''}"[:300]

    # --- what is seen ------------------------------------------------------------------------

    def _sample_all(
        self, load: RunningLoad, options: SubscriptionOptions, over: threading.Event
    ) -> None:
        at_s = time.monotonic()
        while not over.is_set():
            try:
                self._sample(load, options)
            except Exception as error:  # a part may be down in ways that nobody foresaw
                self._say(f"no sample: {type(error).__name__}: {error}")
            at_s += SAMPLE_EVERY_S
            over.wait(max(1.0, at_s - time.monotonic()))

    def _sample(self, load: RunningLoad, options: SubscriptionOptions) -> None:
        now_s, root = self._now_s, self._platform.folder.root
        rows, table_partitions, names = sampling.tables(self._platform)
        seen = load.samples[-1] if load.samples else None
        minute_s = time.monotonic() - SAMPLE_EVERY_S
        # Seconds without an answer have none.
        p99s = [
            one.p99_ms for one in tuple(load.samples) if one.at_s >= minute_s and one.p99_ms > 0
        ]
        sent = seen.sent if seen else 0
        aggregates, profiles = queries(seen)
        sample = SoakSample(
            at_s=round(now_s, 1),
            leg=len(self._soak.legs),
            processes=sampling.processes(root),
            disk_bytes=sampling.disk(root),
            rows=rows,
            table_partitions=table_partitions,
            names=names,
            event_ms=options.event_ms(sent),
            lag=sampling.lag(self._platform),
            sent=sent,
            dropped=seen.dropped if seen else 0,
            wrong=seen.wrong if seen else 0,
            p99_ms=round(median(p99s), 2) if p99s else 0.0,
            aggregates=aggregates,
            profiles=profiles,
        )
        with self._lock:
            if seen is not None:
                # For a load that dies; in the end there is its report.
                self._leg.counters = seen.counters()
            self._soak.samples.append(sample)
            # By whole spans, so that the next leg shares no minute with one that was killed.
            ahead_ms = int(3 * SAMPLE_EVERY_S * self._rate * self._step_ms) + _OWN_MS
            self._soak.next_start_ms = (sample.event_ms + ahead_ms) // MINUTE_MS * MINUTE_MS
        self._save()
        left_min = max(0.0, self._total_s - now_s) / 60
        memory = sum(one.rss_bytes for one in sample.processes.values()) / 2**30
        self._say(
            f"{now_s / self._total_s:4.0%}, {left_min:.0f} min left: {sent:,} tags, "
            f"{sample.dropped} dropped, {sample.wrong} wrong, p99 {sample.p99_ms:.0f} ms, "
            f"{aggregates.right} of {aggregates.asked} aggregates, lag {sample.lag}, "
            f"{sum(rows.values()):,} rows, {memory:.1f} GiB"
        )

    # --- the end -----------------------------------------------------------------------------

    def _audit(self, result: LoadResult, begins: Mapping[int, int], bootstrap: str) -> None:
        leg = self._leg
        leg.counters = result.report["counters"]
        leg.latency_ms = result.report["latency_ms"]
        self._say("comparing the log with what was acknowledged")
        values, _ = asyncio.run(read_log(bootstrap, begins))
        there = {_digest(value) for value in values}
        del values
        acknowledged = [
            _digest(tag.body)
            for tag in sent_tags(result.options, result.outcomes)
            if tag.outcome == ACKNOWLEDGED
        ]
        leg.acknowledged = len(acknowledged)
        leg.lost = sum(digest not in there for digest in acknowledged)
        self._save()
        self._say("comparing log and stores")
        time.sleep(_VERIFY_WAIT_S)
        leg.differences, leg.verified = self._tool("actors.tools.verify", "--all")
        self._save()

    def _save(self) -> None:
        with self._lock:
            self._soak.save(self._file)


def queries(seen: Sample | None) -> tuple[Asked, Asked]:
    """Aggregates and profiles of what the load said last."""
    if seen is None:
        return Asked(), Asked()
    return (
        Asked(seen.aggregates_asked, seen.aggregates_right, seen.aggregates_unanswered),
        Asked(seen.profiles_asked, seen.profiles_right, seen.profiles_unanswered),
    )


def _environment(stores: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **stores, **SETTINGS}


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=12).digest()
