"""Speed of the tools that read the log: rebuild of aggregates, and verify.

`python -m tests.bench.tools [--tags 600000]`: starts its own stores, fills the topic with the Web
Panel's stream and runs each tool as an operator would. The rebuild is compared with a live actor
that counts one partition of the same log: a rebuild counts all partitions in one process, with the
same loop and sink. Exit status 1 if it takes more than twice as long per tag.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time
from typing import Annotated, Final

import msgspec
import typer

from setup.command_line import run_main
from setup.local.platform import STORES, Platform
from tests.bench._platform import bench_platform
from tests.bulk import log
from tests.bulk.actor import ActorRun
from tests.bulk.hours import PARTITIONS, partition_end
from tests.results.recording import Recording

GOAL_RATIO: Final = 2.0
MIB: Final = 1024


def run(platform: Platform, *arguments: str) -> tuple[str, float]:
    """(output, seconds) of ``python -m``; a CalledProcessError if it fails."""
    started_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **platform.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout, time.perf_counter() - started_s


def measure(platform: Platform, tags: int, recording: Recording) -> bool:
    """Print and record the figures; returns whether the rebuild keeps up with the actor."""
    asyncio.run(log.fill(platform.settings(), tags))
    output, _ = run(platform, "tests.bulk.actor", "0", str(tags // PARTITIONS))
    actor = msgspec.json.decode(output, type=ActorRun)
    actor_s = actor.seconds / actor.tags
    print(f"one actor, one partition: {1 / actor_s:,.0f} tags/s")
    output, seconds = run(platform, "actors.tools.rebuild", "aggregates", "--fresh")
    print(output.strip())
    rebuild_s = seconds / tags
    print(f"rebuild, all partitions, start to end: {1 / rebuild_s:,.0f} tags/s")
    print(f"a tag takes {rebuild_s / actor_s:.2f} times as long as in one actor")
    # Verify needs what the actors write; their speed is measured by ``profile_feed``.
    for partition in range(PARTITIONS):
        run(platform, "tests.bulk.profiles", str(partition), str(partition_end(tags, partition)))
    output, seconds = run(platform, "actors.tools.verify", "--all")
    # Maximum over all children so far, which is verify: it holds what it compares.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(output.strip())
    print(f"verify: {tags / seconds:,.0f} tags/s, {peak / MIB:,.0f} MiB at most")
    ratio = round(rebuild_s / actor_s, 2)
    recording.figure("rebuild_to_actor", ratio, at_most=GOAL_RATIO)
    recording.figure("actor_tags_s", round(1 / actor_s))
    recording.figure("rebuild_tags_s", round(1 / rebuild_s))
    recording.figure("verify_tags_s", round(tags / seconds))
    return recording.finish(f"rebuild {1 / rebuild_s:,.0f} tags/s, verify {tags / seconds:,.0f}")


def main(
    tags: Annotated[int, typer.Option(help="Of all partitions.")] = 600_000,
) -> int:
    """Start, measure, stop."""
    recording = Recording("tools")
    with bench_platform(STORES) as platform:
        reached = measure(platform, tags, recording)
    return 0 if reached else 1


if __name__ == "__main__":
    run_main(main, __doc__)
