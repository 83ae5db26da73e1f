"""The profile view catching up: one partition's actor, and the refill of emptied shards.

`python -m tests.bench.profile_feed [--tags 400000] [--records 5000000]` starts its own Kafka and
Redis Cluster and fills the topic with the Web Panel's stream. Then

* one process applies ``tags`` of one partition to all shards. The ceiling: the same scripts with
  the same tags from one process to the same emptied servers, without reading or decoding the log;
* a short run before shows whether memory grows with the lag;
* with ``records`` in the log, all shards and then one are emptied, and three processes, one per
  partition as on the platform, refill them.

Exit status 1 below 20,000 tags/s, or if eight times the lag takes more than 1.2 times the memory.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import redis
import typer

from actors.profiles.ports import LoggedTag
from actors.profiles.redis_shard import RedisShard
from actors.settings import ActorSettings
from serve_app.core.names import cookie_slot
from serve_app.core.position import ViewPosition
from serve_app.core.slots import contains
from serve_app.core.tag import decode_timed_tag
from serve_app.stores.redis_clients import connect_shards
from setup.command_line import run_main
from setup.local.platform import Platform
from tests.bench._platform import bench_platform
from tests.bulk import log
from tests.bulk.hours import PARTITIONS, hour_bodies, partition_end
from tests.bulk.profiles import FeedRun
from tests.results.recording import Recording

GOAL_TAGS_S: Final = 20_000
GOAL_MEMORY: Final = 1.2
PARTITION: Final = 0
MIB: Final = 1024**2


def empty(platform: Platform, nodes: Sequence[int]) -> None:
    """FLUSHALL of these Redis nodes."""
    for index in nodes:
        with redis.Redis("127.0.0.1", platform.ports["redis"] + index) as client:
            client.flushall()


def start(platform: Platform, partition: int, end: int) -> "subprocess.Popen[bytes]":
    """A process that applies a partition to all shards."""
    command = [sys.executable, "-m", "tests.bulk.profiles", str(partition), str(end)]
    environment = {**os.environ, **platform.environment()}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def outcome(process: "subprocess.Popen[bytes]") -> FeedRun:
    """Its result; waits for its end."""
    output, _ = process.communicate()
    assert process.returncode == 0, f"exit status {process.returncode}"
    return msgspec.json.decode(output, type=FeedRun)


async def ceiling_s(platform: Platform, tags: int) -> float:
    """Seconds that the same scripts take with tags prepared in advance."""
    stores, own = platform.settings(), ActorSettings()
    bodies = hour_bodies(0, 0, tags * PARTITIONS)
    ready = []
    for number, body in enumerate(bodies):
        if number % PARTITIONS == PARTITION:
            tag, time_ms = decode_timed_tag(body)
            slot = cookie_slot(tag.cookie)
            ready.append(LoggedTag(tag, time_ms, slot, number // PARTITIONS, time_ms))
    shards = connect_shards(stores, timeout_s=own.view_node_timeout_s)
    shards.start()
    try:
        await shards.wait_ready()

        async def feed(name: str) -> None:
            shard = RedisShard(name, PARTITION, shards=shards, idle_days=stores.profile_idle_days)
            mine = [one for one in ready if contains(shard.owned, one.slot)]
            owner = (await shard.owner()).text
            old: ViewPosition | None = None
            for first in range(0, len(mine), own.view_pipeline_tags):
                part = mine[first : first + own.view_pipeline_tags]
                new = ViewPosition("0" * 32, part[-1].offset + 1, shard.owned, owner)
                await shard.move(str(PARTITION), old, new, part)
                old = new

        started_s = time.perf_counter()
        await asyncio.gather(*(feed(shard.name) for shard in shards.shards))
        return time.perf_counter() - started_s
    finally:
        await shards.stop()


def measure(platform: Platform, tags: int, records: int, recording: Recording) -> bool:
    """Print and record the figures; returns whether the bounds are kept."""
    everyone = range(platform.stack.redis_nodes)
    asyncio.run(log.fill(platform.settings(), tags * PARTITIONS))
    runs = []
    for end in (tags // 8, tags):
        empty(platform, everyone)
        runs.append(outcome(start(platform, PARTITION, end)))
    small, run = runs
    empty(platform, everyone)
    ceiling = tags / asyncio.run(ceiling_s(platform, tags))
    tags_s, grown = tags / run.seconds, run.peak_rss_bytes / small.peak_rss_bytes
    print(f"one partition: {tags} tags in {run.seconds:.1f} s = {tags_s:,.0f} tags/s")
    print(f"the same scripts without the log: {ceiling:,.0f} tags/s")
    print(f"processor time: {run.processor_s / tags * 1e6:.1f} µs a tag")
    print(f"memory: {run.peak_rss_bytes / MIB:.0f} MiB, with an eighth {1 / grown:.2f} of that")
    recording.figure("tags_s", round(tags_s), at_least=GOAL_TAGS_S)
    recording.figure("scripts_alone_tags_s", round(ceiling))
    recording.figure("share_of_scripts_alone", round(tags_s / ceiling, 3))
    recording.figure("processor_us_a_tag", round(run.processor_s / tags * 1e6, 1))
    recording.figure("memory_at_8_times_the_lag", round(grown, 3), at_most=GOAL_MEMORY)
    asyncio.run(log.fill(platform.settings(), records))
    empty(platform, everyone)
    all_s = refill_s(platform, records)
    empty(platform, [0])
    whole_s = refill_s(platform, records)
    print(f"{records:,} records: all shards whole after {all_s:.1f} s, one after {whole_s:.1f} s")
    recording.figure("records", records)
    recording.figure("all_shards_whole_s", round(all_s, 1))
    recording.figure("emptied_shard_whole_s", round(whole_s, 1))
    return recording.finish(
        f"one actor applies {tags_s:,.0f} tags/s to profiles; an emptied shard is whole again from "
        f"{records:,} records in {whole_s:.0f} s"
    )


def refill_s(platform: Platform, records: int) -> float:
    """Seconds until all shards are complete again, with one process per partition."""
    started_s = time.perf_counter()
    processes = [
        start(platform, partition, partition_end(records, partition))
        for partition in range(PARTITIONS)
    ]
    for process in processes:
        outcome(process)
    return time.perf_counter() - started_s


def main(
    tags: Annotated[int, typer.Option(help="Of one partition.")] = 400_000,
    records: Annotated[int, typer.Option(help="In the log, for the refill.")] = 5_000_000,
) -> int:
    """Start, measure, stop."""
    recording = Recording("profile-feed")
    with bench_platform(("kafka", "redis")) as platform:
        reached = measure(platform, tags, records, recording)
    return 0 if reached else 1


if __name__ == "__main__":
    run_main(main, __doc__)
