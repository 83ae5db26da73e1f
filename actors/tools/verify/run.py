"""A verification from begin to end.

Rows of MySQL hold the sums of all tags of a minute, whatever their offsets. So:

- the whole log: every row is compared exactly, and a row that the log knows nothing of is found;
- a range: a row must hold at least the range's tags (exactly their sum if it holds as many);
- a range, exactly: the rest of the log is read too, for the minutes of the range alone.

Offsets and rows are read in one snapshot, and the log up to those offsets, so that it does not
matter what the actors do meanwhile. A log whose begin is gone cannot tell what its first minutes
held: those are compared as in a range.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from actors.log.entries import UnreadableRecord, read_entry, tag_of
from actors.log.ranges import clamp, newest, records_between
from actors.log.topic_reader import Offsets, TopicReader
from actors.settings import ActorSettings
from actors.tools.progress import LogProgress
from actors.tools.verify.aggregates import compare_minute
from actors.tools.verify.differences import Difference, Findings
from actors.tools.verify.expected import ExpectedCounts, ExpectedProfiles, Place
from actors.tools.verify.positions import compare_positions
from actors.tools.verify.profiles import ProfileCheck
from actors.tools.verify.snapshot import TablesSnapshot, snapshot, stored_offsets
from serve_app.core.clock import SystemClock
from serve_app.core.erasure import Erasure
from serve_app.core.settings import Settings
from serve_app.stores.redis_shards import RedisShards

BLURRED: Final = 100
"""Tags at a begin that is not the first offset: the minute of their median, and the one after it,
may have begun before the log does."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for."""

    starts: Mapping[int, int] | int | None = None
    """By Kafka partition, or the same for all."""
    ends: Mapping[int, int] | int | None = None
    newest: int | None = None
    """That many of the newest offsets, when ``starts`` is not given; None is the whole log."""
    exact: bool = False
    aggregates: bool = True
    profiles: bool = True


async def verify(
    topic: str,
    *,
    stores: Settings,
    settings: ActorSettings,
    shards: RedisShards,
    wanted: Wanted,
    progress: LogProgress,
) -> Findings:
    """Compare; ``shards`` is started. Raises ``StoreUnavailable``."""
    started_s = time.monotonic()
    tags = TopicReader(topic, stores=stores, timeout_s=settings.log_timeout_s)
    try:
        await tags.open()
        one = _Verification(tags, stores, settings, wanted, progress)
        await one.count()
        if wanted.aggregates:
            await one.compare_aggregates()
        if wanted.profiles:
            await one.compare_profiles(shards)
        one.findings.seconds = round(time.monotonic() - started_s, 1)
        return one.findings
    finally:
        await tags.close()


class _Verification:
    def __init__(
        self,
        tags: TopicReader,
        stores: Settings,
        settings: ActorSettings,
        wanted: Wanted,
        progress: LogProgress,
    ) -> None:
        self._tags = tags
        self._stores = stores
        self._settings = settings
        self._wanted = wanted
        self._progress = progress
        self._counts = ExpectedCounts()
        self._profiles = ExpectedProfiles()
        self._begins: Offsets = {}
        self._first_times: dict[int, list[int]] = {}
        """Kafka partition → event times at the begin of a log that was cut off there."""
        self.findings = Findings()

    async def count(self) -> None:
        """Choose the range and count what is in it."""
        wanted, findings = self._wanted, self.findings
        self._begins, log_ends = await self._tags.begins(), await self._tags.ends()
        stored = await stored_offsets(self._stores) if wanted.aggregates else {}
        # What is not counted yet is no difference.
        counted = {p: stored[p][1] if p in stored else end for p, end in log_ends.items()}
        counted = clamp(counted, self._begins, log_ends)
        ends = clamp(_over(counted, wanted.ends), self._begins, counted)
        starts = _over(self._begins, wanted.starts)
        if wanted.starts is None and wanted.newest is not None:
            starts = newest(wanted.newest, self._begins, ends)
        starts = clamp(starts, self._begins, ends)
        findings.starts, findings.ends = starts, ends
        whole = starts == dict(self._begins) and wanted.ends is None
        findings.exact = whole or wanted.exact
        self._whole = whole
        position = dict(starts)
        async for portion in records_between(self._tags, starts, ends):
            for partition, record in portion:
                position[partition] = record.offset + 1
                place = Place(partition, record.offset, record.timestamp_ms)
                try:
                    entry = read_entry(record)
                except UnreadableRecord:
                    findings.unreadable += 1
                    continue
                if isinstance(entry, Erasure):
                    findings.erasures += 1
                    if wanted.profiles:
                        self._profiles.erase(entry, place)
                    continue
                tag, time_ms = entry
                findings.tags += 1
                self._note_begin(partition, record.offset, time_ms)
                if wanted.aggregates:
                    self._counts.add(partition, tag)
                if wanted.profiles:
                    self._profiles.add(tag, place)
            self._progress.counted(starts, position, ends)

    async def compare_aggregates(self) -> None:
        """Offsets and rows, in one snapshot."""
        findings = self.findings
        minutes = set(self._counts.minutes)
        if findings.exact and not self._whole:
            await self._count_also(self._begins, findings.starts, minutes)
        async with snapshot(self._stores) as taken:
            log_ends = await self._tags.ends()
            self._check_offsets(taken, log_ends)
            if findings.exact:
                counted = {p: row[1] for p, row in taken.offsets.items() if p in log_ends}
                upto = clamp({**findings.ends, **counted}, findings.ends, log_ends)
                await self._count_also(findings.ends, upto, None if self._whole else minutes)
            if self._whole:
                minutes = set(self._counts.minutes) | await taken.minutes()
            for minute in sorted(minutes):
                if minute < taken.first_kept_minute:
                    findings.minutes_dropped += minute in self._counts.minutes
                    continue
                rows, found = await compare_minute(taken, minute, self._counts, self._exactly)
                findings.rows += rows
                findings.differences += found
                # Room for what comes.
                self._counts.minutes.pop(minute, None)

    async def compare_profiles(self, shards: RedisShards) -> None:
        """The positions, and each cookie and action of the range."""
        findings = self.findings
        findings.positions, found = await compare_positions(self._tags, shards)
        findings.differences += found
        check = ProfileCheck(
            shards,
            self._profiles,
            whole=self._whole and not any(self._begins.values()),
            idle_days=self._stores.profile_idle_days,
            now_ms=SystemClock().now_ms(),
        )
        findings.late, found = await check.differences(self._tags, findings.ends)
        findings.profiles = len(self._profiles)
        findings.differences += found

    async def _count_also(self, starts: Offsets, ends: Offsets, minutes: set[int] | None) -> None:
        """Count what is outside of the range, in ``minutes`` only (None: in all)."""
        async for portion in records_between(self._tags, starts, ends):
            for partition, record in portion:
                tag = tag_of(record)
                if tag is not None:
                    self._note_begin(partition, record.offset, tag.time_ms)
                    if minutes is None or tag.time_ms // 60_000 in minutes:
                        self._counts.add(partition, tag)

    def _note_begin(self, partition: int, offset: int, time_ms: int) -> None:
        begin = self._begins[partition]
        if begin and offset < begin + BLURRED:
            self._first_times.setdefault(partition, []).append(time_ms)

    def _exactly(self, partition: int, minute: int) -> bool:
        times = self._first_times.get(partition)
        blurred = median_low(times) // 60_000 + 1 if times else -1
        return self.findings.exact and minute > blurred

    def _check_offsets(self, taken: TablesSnapshot, log_ends: Offsets) -> None:
        for partition, end in sorted(log_ends.items()):
            row = taken.offsets.get(partition)
            if row is not None and self._begins[partition] <= row[1] <= end:
                continue
            self.findings.differences.append(
                Difference(
                    "offset",
                    f"partition {partition}",
                    f"{self._begins[partition]} to {end}",
                    "no row" if row is None else str(row[1]),
                )
            )


def _over(offsets: Offsets, wanted: Mapping[int, int] | int | None) -> dict[int, int]:
    """``offsets`` with those that are wanted in their place; partitions that are not there go."""
    if wanted is None:
        return dict(offsets)
    if isinstance(wanted, int):
        return dict.fromkeys(offsets, wanted)
    return {p: wanted.get(p, offset) for p, offset in offsets.items()}


def parse_offsets(text: str, name: str) -> dict[int, int] | int:
    """``120`` for all partitions alike, or ``0:120,1:80`` one by one.

    Raises:
        ValueError: anything else; the message names the option.
    """
    try:
        if ":" not in text:
            return _number(text)
        pairs = (pair.split(":") for pair in text.split(","))
        return {_number(partition): _number(offset) for partition, offset in pairs}
    except ValueError:
        raise ValueError(f"{name} {text!r}: expected an offset, or partition:offset,…") from None


def _number(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(text)
    return int(text)
