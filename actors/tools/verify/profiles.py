"""The sorted sets of Redis against the tags of the log.

Under load a tag may be in the log and on its way to Redis, or in Redis and not read from the log
yet. So profiles that differ are read again, after the tail of the log, for as long as the contract
allows a tag to take.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import MsgspecError

from actors.log.ranges import clamp, records_between
from actors.log.reading import tag_of
from actors.log.topic_reader import TopicReader
from actors.profiles.erased import Erased
from actors.tools.patient_reads import ask_masters
from actors.tools.verify.differences import Difference
from actors.tools.verify.expected import KEPT, ExpectedProfiles, Kept, ProfileKey
from serve_app.core.member import decode_member, encode_member
from serve_app.core.names import profile_key
from serve_app.core.timestamps import format_tag_time
from serve_app.stores.redis_shards import RedisShards

STEP: Final = 200
"""Profiles of one pipeline."""
SETTLE_S: Final = 10.0
"""A tag that was accepted longer ago must be in its profile."""
RETRY_S: Final = 1.0
_UNREADABLE: Final = "(cannot be read)"


class ProfileCheck:
    """Compares profiles; ``whole`` says that the log from its first offset on is known."""

    def __init__(self, shards: RedisShards, expected: ExpectedProfiles, *, whole: bool) -> None:
        """``shards`` must be started."""
        self._shards = shards
        self._erased = Erased(shards)
        self._expected = expected
        self._whole = whole

    async def differences(
        self, tags: TopicReader, upto: Mapping[int, int], owed: Collection[tuple[ProfileKey, bytes]]
    ) -> tuple[int, list[Difference]]:
        """(tags that are owed, what differs).

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
                for _, record in portion:
                    tag = tag_of(record)
                    if tag is not None and (tag.cookie, tag.action) in suspects:
                        self._expected.add(tag, record.timestamp_ms)
            upto = ends
            suspects = await self._compare(list(suspects))
        found: list[Difference] = []
        count = 0
        for key, (missing, extra) in suspects.items():
            late = {kept for kept in missing if (key, kept.member) in owed}
            count += len(late)
            found += _describe(key, missing - late, extra)
        return count, found

    async def _compare(
        self, keys: list[ProfileKey]
    ) -> dict[ProfileKey, tuple[set[Kept], set[Kept]]]:
        """(missing, extra) of those that differ."""
        suspects = {}
        for first in range(0, len(keys), STEP):
            step = keys[first : first + STEP]
            stored = await self._read(step)
            differing = {}
            for key in step:
                missing, extra = self._differ(self._expected.newest(key), stored[key])
                if missing or extra:
                    differing[key] = missing, extra
            if differing:
                until = await self._erased.until({cookie for cookie, _ in differing})
                for key, (missing, extra) in differing.items():
                    at_ms = until.get(key[0], -1)
                    missing = {kept for kept in missing if kept.arrived_ms > at_ms}
                    if missing or extra:
                        suspects[key] = missing, extra
        return suspects

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


async def owed_tags(repairs: TopicReader) -> set[tuple[ProfileKey, bytes]]:
    """What the repair loop has yet to write; ``repairs`` reads ``profile_repairs``."""
    begins, ends = await repairs.begins(), await repairs.ends()
    committed = await repairs.committed()
    starts = clamp({**begins, **committed}, begins, ends)
    owed = set()
    async for portion in records_between(repairs, starts, ends):
        for _, record in portion:
            tag = tag_of(record)
            if tag is not None:
                owed.add(((tag.cookie, tag.action), encode_member(tag, tag.time_ms)))
    return owed


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
