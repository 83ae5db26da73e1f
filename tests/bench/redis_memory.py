"""Redis memory per event, compared with the same events as JSON in the same server.

`python -m tests.bench.redis_memory [--cookies 3000]`: starts its own Redis Cluster, writes 86
events per cookie (86.4 million a day over a million cookies) as the product does, and then as JSON,
under Redis' default limits of the compact encoding and under ours. Bytes are the growth of
``used_memory`` of all masters: keys, sorted sets and the allocator's overhead.

Exit status 1 unless an event takes at most 90 bytes and is read back exactly, and a profile of 200
is still a listpack after 1,000 writes.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import redis

from serve_app.core.names import profile_key
from serve_app.core.query import KEPT_PER_ACTION, ProfileQuery
from serve_app.core.tag import UserTag
from serve_app.stores.profiles import Placed, Profiles
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.redis_node import Command
from serve_app.stores.redis_shards import RedisShards
from setup.command_line import run_main
from setup.local.platform import Platform
from tests.bench._platform import bench_platform
from tests.results.recording import Recording
from tests.tags import decode_tag
from tests.webpanel.options import STREAM_START_MS
from tests.webpanel.stream import tag_codes, tag_json

EVENTS_A_COOKIE: Final = 86
GOAL_BYTES: Final = 90
WRITES: Final = 1_000
_STEP_MS: Final = 1_000_003
"""Ms between two events of a cookie: about a day in all, with varying milliseconds."""
_AT_ONCE: Final = 500
_LAST_MS: Final = 253_402_300_799_999
_LIMITS: Final = ("zset-max-listpack-entries", "zset-max-listpack-value")
_REDIS_LIMITS: Final = ("128", "64")

Write = Callable[[UserTag], list[Command]]


def stream(cookies: int) -> Iterator[UserTag]:
    """The Web Panel's tags, so many for each of the cookies."""
    codes = tag_codes(1)
    for cookie in range(cookies):
        for number in range(EVENTS_A_COOKIE):
            body = tag_json(STREAM_START_MS + number * _STEP_MS + cookie, next(codes))
            yield msgspec.structs.replace(decode_tag(body.encode()), cookie=f"{cookie:020d}")


def json_command(tag: UserTag) -> list[Command]:
    """Write the event as JSON, to a key of the same slot."""
    key = "json" + profile_key(tag.cookie, tag.action)
    return [("ZADD", key, tag.time_ms, msgspec.json.encode(tag))]


class Cluster:
    """Clients of the masters."""

    def __init__(self, platform: Platform, shards: RedisShards) -> None:
        """``shards`` must be started."""
        first = platform.ports["redis"]
        self.nodes = [
            redis.Redis("127.0.0.1", first + index) for index in range(platform.stack.redis_nodes)
        ]
        self.limits = [str(self.nodes[0].config_get(name)[name]) for name in _LIMITS]
        self._shards = shards
        self.profiles = Profiles(shards, idle_days=platform.settings().profile_idle_days)

    def used_bytes(self) -> int:
        """Of all masters."""
        return sum(int(node.info("memory")["used_memory"]) for node in self.nodes)

    def empty(self) -> None:
        """Remove everything."""
        for node in self.nodes:
            node.flushall()
            node.memory_purge()

    def limit(self, values: Sequence[str]) -> None:
        """Set the limits of the compact encoding: members, and bytes per member."""
        for node, (name, value) in itertools.product(self.nodes, zip(_LIMITS, values, strict=True)):
            node.config_set(name, value)

    async def write(self, tags: Iterator[UserTag], command: Write | None = None) -> int:
        """Write all, as the product does or by ``command``; returns their number."""
        count = 0
        while batch := list(itertools.islice(tags, _AT_ONCE)):
            if command is None:
                placed = (
                    Placed(tag, tag.time_ms, partition=0, offset=count + at, arrived_ms=0)
                    for at, tag in enumerate(batch)
                )
                await self.profiles.write(list(placed))
            else:
                keys = [profile_key(tag.cookie, tag.action) for tag in batch]
                for shard, indexes in self._shards.group(keys):
                    assert shard is not None
                    commands = [c for index in indexes for c in command(batch[index])]
                    await self._shards.on_master(shard, commands)
            count += len(batch)
        return count

    async def bytes_an_event(self, cookies: int, command: Write | None = None) -> float:
        """Growth of memory when ``cookies`` profiles are written into an empty cluster."""
        self.empty()
        before = self.used_bytes()
        count = await self.write(stream(cookies), command)
        return (self.used_bytes() - before) / count


async def check_exact(cluster: Cluster, cookies: int) -> int:
    """Read every profile back; returns the number of events that differ."""
    wrong = 0
    for _, tags in itertools.groupby(stream(cookies), key=lambda tag: tag.cookie):
        newest_first = list(tags)[::-1]
        query = ProfileQuery(newest_first[0].cookie, 0, _LAST_MS, KEPT_PER_ACTION)
        _, answer = await cluster.profiles.read(query)
        found = [*answer.views, *answer.buys]
        wanted = sorted(newest_first, key=lambda tag: tag.action == "BUY")
        wrong += sum(one != other for one, other in zip(found, wanted, strict=True))
    return wrong


async def encoding_of_a_full_profile(cluster: Cluster) -> tuple[str, int]:
    """Encoding and length of a profile after `WRITES` tags of one cookie and action."""
    tags = (
        msgspec.structs.replace(tag, cookie="full", action="VIEW")
        for tag in itertools.islice(stream(WRITES), WRITES)
    )
    # One at a time: a batch would never be longer than the limit between two trims, either.
    for tag in tags:
        await cluster.write(iter([tag]))
    key = profile_key("full", "VIEW")
    for node in cluster.nodes:
        try:
            if length := int(node.zcard(key)):
                return node.object("encoding", key).decode(), length
        except redis.ResponseError:
            continue  # MOVED: another node's
    raise AssertionError("the profile is nowhere")


async def measure(platform: Platform, cookies: int, recording: Recording) -> bool:
    """Print and record the table; returns whether the bounds are kept."""
    # Nothing waits for these writes.
    shards = connect_shards(platform.settings(), timeout_s=10.0)
    shards.start()
    await shards.wait_ready()
    cluster = Cluster(platform, shards)
    try:
        ours = await cluster.bytes_an_event(cookies)
        wrong = await check_exact(cluster, cookies)
        encoding, length = await encoding_of_a_full_profile(cluster)
        json_compact = await cluster.bytes_an_event(cookies, json_command)
        cluster.limit(_REDIS_LIMITS)
        json = await cluster.bytes_an_event(cookies, json_command)
    finally:
        await shards.stop()
    print(f"{cookies} cookies of {EVENTS_A_COOKIE} events")
    print("| form | bytes an event | to ours | a day of 86.4 million events |")
    print("| --- | --- | --- | --- |")
    rows = [
        (name, f"{size:.1f}", f"{size / ours:.2f}", f"{size * 86.4e6 / 1e9:.1f} GB")
        for name, size in (
            ("MessagePack (the product)", ours),
            ("JSON, our listpack limits", json_compact),
            ("JSON, Redis' own limits", json),
        )
    ]
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(f"events that came back different: {wrong}")
    print(f"after {WRITES} writes of one cookie: {length} members, encoding {encoding}")
    recording.figure("bytes_an_event", round(ours, 1), at_most=GOAL_BYTES)
    recording.figure("events_that_differ", wrong, at_most=0)
    recording.figure("full_profile_is_listpack", encoding == "listpack", at_least=1)
    recording.figure("full_profile_members", length, at_least=KEPT_PER_ACTION)
    recording.table(
        "forms", ("form", "bytes per event", "to ours", "a day of 86.4 million events"), rows
    )
    return recording.finish(
        f"{ours:.0f} bytes in Redis per event at {EVENTS_A_COOKIE} events per cookie; JSON takes "
        f"{json_compact / ours:.1f} to {json / ours:.1f} times that"
    )


def main(
    cookies: int = 3_000,
) -> int:
    """Start, measure, stop."""
    recording = Recording("redis-memory")
    with bench_platform(("redis",)) as platform:
        good = asyncio.run(measure(platform, cookies, recording))
    return 0 if good else 1


if __name__ == "__main__":
    run_main(main, __doc__)
