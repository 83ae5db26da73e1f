"""Applies the tags of the log to the profiles in Redis again, in place.

ZADD of an equal member and the trim to 200 change nothing where all is well, so this can run at
any time and be cut off anywhere. What an erasure removed stays away (``actors.tools.erase``).
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from actors.log.ranges import records_between
from actors.log.reading import UnreadableRecord, read_tag
from actors.log.topic_reader import Offsets, TopicReader
from actors.profiles.erased import Erased
from actors.tools.progress import LogProgress
from serve_app.core.tag import UserTag
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_shards import RedisShards

STEP: Final = 500
"""Tags of one pipeline a shard: some milliseconds of a Redis node."""
RETRY_S: Final = 0.5


@dataclass(slots=True)
class Applied:
    """What was done."""

    tags: int = 0
    erased: int = 0
    """Tags left out because their cookie was erased after they had arrived."""
    unreadable: int = 0


async def apply_again(
    reader: TopicReader, shards: RedisShards, starts: Offsets, ends: Offsets, progress: LogProgress
) -> Applied:
    """Apply what lies between ``starts`` and ``ends``; a shard that is away is waited for.

    Raises ``LogUnavailable``.
    """
    profiles, erased, done = Profiles(shards), Erased(shards), Applied()
    offsets: dict[int, int] = dict(starts)
    async for portion in records_between(reader, starts, ends):
        arrived: list[tuple[UserTag, int]] = []
        for partition, record in portion:
            offsets[partition] = record.offset + 1
            try:
                arrived.append((read_tag(record), record.timestamp_ms))
            except UnreadableRecord:
                done.unreadable += 1
        for first in range(0, len(arrived), STEP):
            step = arrived[first : first + STEP]
            until = await erased.until({tag.cookie for tag, _ in step})
            tags = [tag for tag, at_ms in step if at_ms > until.get(tag.cookie, -1)]
            done.erased += len(step) - len(tags)
            done.tags += len(tags)
            await _write(profiles, tags, progress)
        progress.counted(starts, offsets, ends)
    return done


async def _write(profiles: Profiles, tags: list[UserTag], progress: LogProgress) -> None:
    while tags:
        results = await profiles.write(tags)
        failed = [(tag, e) for tag, e in zip(tags, results, strict=True) if e is not None]
        if failed:
            progress.say(f"waiting: {failed[0][1]}")
            await asyncio.sleep(RETRY_S)
        tags = [tag for tag, _ in failed]
