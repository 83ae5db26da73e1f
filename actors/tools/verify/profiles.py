"""The sorted sets of Redis against the tags of the log.

Under load a tag may be in the log and on its way to Redis, or in Redis and not read from the log
yet. So profiles that differ are read again, after the tail of the log, for as long as the contract
allows a tag to take. What a shard's position does not cover even then is late, and not wrong: no
query is answered without it.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import MsgspecError

from actors.log.entries import UnreadableRecord, read_entry
from actors.log.ports import Record
from actors.log.ranges import records_between
from actors.log.topic_reader import TopicReader
from actors.tools.master_reads import ask_masters
from actors.tools.positions import ShardPositions, all_positions
from actors.tools.verify.differences import Difference
from actors.tools.verify.expected import KEPT, ExpectedProfiles, Kept, Place, ProfileKey
from serve_app.core.erasure import Erasure
from serve_app.core.member import decode_member
from serve_app.core.names import cookie_slot, erased_key, profile_key
from serve_app.core.timestamps import format_tag_time
from serve_app.stores.profile_scripts import rules
from serve_app.stores.redis_shards import RedisShards, ShardUnavailable

STEP: Final = 200
"""Profiles of one pipeline."""
SETTLE_S: Final = 10.0
"""A tag that was accepted longer ago must be in its profile."""
RETRY_S: Final = 1.0
_UNREADABLE: Final = "(cannot be read)"


@dataclass(slots=True)
class Suspect:
    """How a profile differs, by what may not be so and by what is only late."""

    missing: set[Kept]
    extra: set[Kept]
    late: int


class ProfileCheck:
    """Compares profiles; ``whole`` says that the log from its first offset on is known."""

    def __init__(
        self,
        shards: RedisShards,
        expected: ExpectedProfiles,
        *,
        whole: bool,
        idle_days: float = 0.0,
        now_ms: int = 0,
    ) -> None:
        """``shards`` must be started; tags that arrived ``idle_days`` ago may have expired."""
        self._shards = shards
        self._expected = expected
        self._whole = whole
        _, idle_ms, refresh_ms = rules(idle_days)
        self._expired_ms = now_ms - idle_ms + refresh_ms if idle_ms else -1
        """Arrival (epoch ms) before which a tag may have gone with its idle profile."""

    async def differences(
        self, tags: TopicReader, upto: Mapping[int, int]
    ) -> tuple[int, list[Difference]]:
        """(tags that are late, what differs).

        ``tags`` reads the topic of tags, of which all before ``upto`` is in ``expected``.
        Raises ``LogUnavailable``; a shard that is away is waited for.
        """
        suspects = await self._compare(list(self._expected))
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + SETTLE_S
        while suspects and loop.time() < give_up_s:
            await asyncio.sleep(RETRY_S)
            ends = await tags.ends()
            async for portion in records_between(tags, upto, ends):
                self._take_in(portion, suspects)
            upto = ends
            suspects = await self._compare(list(suspects))
        found: list[Difference] = []
        for key, suspect in suspects.items():
            found += _describe(key, suspect.missing, suspect.extra)
        return sum(suspect.late for suspect in suspects.values()), found

    def _take_in(
        self, records: Sequence[tuple[int, Record]], suspects: Collection[ProfileKey]
    ) -> None:
        cookies = {cookie for cookie, _ in suspects}
        for partition, record in records:
            try:
                entry = read_entry(record)
            except UnreadableRecord:
                continue
            place = Place(partition, record.offset, record.timestamp_ms)
            if isinstance(entry, Erasure):
                if entry.cookie in cookies:
                    self._expected.erase(entry, place)
            elif (entry[0].cookie, entry[0].action) in suspects:
                self._expected.add(entry[0], place)

    async def _compare(self, keys: list[ProfileKey]) -> dict[ProfileKey, Suspect]:
        """Those that differ."""
        # Before the profiles, which are then at least as new.
        positions = {one.name: one for one in await all_positions(self._shards)}
        suspects = {}
        for first in range(0, len(keys), STEP):
            step = keys[first : first + STEP]
            stored = await self._read(step)
            differing = {}
            for key in step:
                missing, extra = self._differ(self._expected.newest(key), stored[key])
                erased = self._expected.erased(key)
                extra |= {kept for kept in stored[key] if kept.member in erased}
                if missing or extra:
                    differing[key] = missing, extra
            until = await self._old_marks({cookie for cookie, _ in differing})
            for key, (missing, extra) in differing.items():
                gone_ms = max(until.get(key[0], -1), self._expired_ms)
                missing = {one for one in missing if _arrived_after(one, gone_ms)}
                reached = self._reached(key, positions)
                if missing or extra:
                    suspects[key] = self._sort_out(key, missing, extra, reached)
        return suspects

    def _reached(
        self, key: ProfileKey, positions: Mapping[str, ShardPositions]
    ) -> Mapping[int, int]:
        """Kafka partition → next offset, of the key's slot."""
        try:
            name = self._shards.shard_of(profile_key(*key)).name
        except ShardUnavailable:
            return {}
        return positions[name].reached(cookie_slot(key[0])) if name in positions else {}

    def _sort_out(
        self, key: ProfileKey, missing: set[Kept], extra: set[Kept], reached: Mapping[int, int]
    ) -> Suspect:
        """What the positions do not cover yet is late."""
        late = {
            kept
            for kept in missing
            if all(place.offset >= reached.get(place.partition, 0) for place in kept.places)
        }
        if any(at >= reached.get(p, 0) for p, at in self._expected.erasure_of(key[0]).items()):
            erased = self._expected.erased(key)
            late |= {kept for kept in extra if kept.member in erased}
        return Suspect(missing - late, extra - late, len(late))

    async def _old_marks(self, cookies: set[str]) -> dict[str, int]:
        """Cookie → arrival (epoch ms) up to which it was erased, by version 0.1.

        That one had no record in the log, and its marks stay until the log has no such tag.
        """
        names = sorted(cookies)
        keys = [erased_key(cookie) for cookie in names]
        marks = await ask_masters(self._shards, keys, [("GET", key) for key in keys])
        return {
            cookie: int(mark)
            for cookie, mark in zip(names, marks, strict=True)
            if mark is not None and mark.isdigit()
        }

    def _differ(self, wanted: list[Kept], stored: list[Kept]) -> tuple[set[Kept], set[Kept]]:
        have = set(stored)
        # Below the lowest of 200 there is no place.
        floor = min(stored) if len(stored) >= KEPT else None
        missing = {kept for kept in wanted if kept not in have and (not floor or kept > floor)}
        # Without the log's beginning nobody can say that a tag never was.
        extra = have - set(wanted) if self._whole else set()
        extra |= set(sorted(stored)[: max(0, len(stored) - KEPT)])
        return missing, extra

    async def _read(self, keys: Sequence[ProfileKey]) -> dict[ProfileKey, list[Kept]]:
        names = [profile_key(*key) for key in keys]
        replies = await ask_masters(
            self._shards, names, [("ZRANGE", name, 0, -1, "WITHSCORES") for name in names]
        )
        stored: dict[ProfileKey, list[Kept]] = {}
        for key, flat in zip(keys, replies, strict=True):
            scores = map(round, map(float, flat[1::2]))
            stored[key] = [Kept(s, m) for m, s in zip(flat[::2], scores, strict=True)]
        return stored


def _arrived_after(kept: Kept, at_ms: int) -> bool:
    return not kept.places or any(place.arrived_ms > at_ms for place in kept.places)


def _describe(key: ProfileKey, missing: set[Kept], extra: set[Kept]) -> list[Difference]:
    cookie, action = key
    found: list[tuple[Kept, Kept | None, Kept | None]] = []
    for kept in sorted(missing):
        # Another tag at the same time in its place is one difference, not two.
        other = next((e for e in sorted(extra) if e.time_ms == kept.time_ms), None)
        extra = extra - {other} if other else extra
        found.append((kept, kept, other))
    found += [(kept, None, kept) for kept in sorted(extra)]
    return [
        Difference(
            "profile",
            f"cookie {cookie!r} {action} {format_tag_time(at.time_ms, fraction=True)}",
            _tag(want, cookie, action),
            _tag(have, cookie, action),
        )
        for at, want, have in found
    ]


def _tag(kept: Kept | None, cookie: str, action: str) -> str:
    if kept is None:
        return "no tag"
    try:
        tag = decode_member(kept.member, cookie, action)
    except (MsgspecError, ValueError, IndexError):
        return f"{_UNREADABLE} {kept.member.hex()[:80]}"
    product = tag.product_info
    fields = (tag.time, tag.country, tag.device, tag.origin, product.product_id, product.brand_id)
    return " ".join(map(str, (*fields, product.category_id, product.price)))
