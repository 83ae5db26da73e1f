"""``python -m tests.bulk.profiles PARTITION END``: one partition's profile view, alone.

Works until every shard's position is ``END``, then prints a `FeedRun` as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import msgspec

from actors.log.shared_log import shared_log
from actors.profiles.status import FeedStatus
from actors.profiles.view import profile_view
from actors.serve.gc_tuning import collect_seldom
from actors.settings import ActorSettings
from serve_app.core.clock import SystemClock
from serve_app.core.settings import Settings
from tests.bulk.actor import peak_rss_bytes


class FeedRun(msgspec.Struct):
    """Figures of one process."""

    applied: int
    """Tags written to Redis."""
    seconds: float
    processor_s: float
    peak_rss_bytes: int


async def work(partition: int, end: int) -> FeedRun:
    """Apply ``partition`` up to ``end``."""
    collect_seldom()
    stores, own, clock = Settings(), ActorSettings(), SystemClock()
    log = shared_log(partition, stores=stores, settings=own)
    view = profile_view(partition, open_log=log.reader, stores=stores, settings=own, clock=clock)
    started_s, before_s = time.perf_counter(), time.process_time()
    task = asyncio.create_task(view.run())
    while not _whole(view.statuses, end):
        if task.done():
            task.result()
        await asyncio.sleep(0.05)
    run = FeedRun(
        view.applied,
        time.perf_counter() - started_s,
        time.process_time() - before_s,
        peak_rss_bytes(),
    )
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return run


def _whole(feeds: Sequence[FeedStatus], end: int) -> bool:
    offsets = [feed.offset or 0 for feed in feeds if not feed.arrivals]
    return bool(offsets) and min(offsets) >= end


if __name__ == "__main__":
    run = asyncio.run(work(int(sys.argv[1]), int(sys.argv[2])))
    print(msgspec.json.encode(run).decode())
