"""Alerts of a real Prometheus fire for a stopped store and a hanging actor, and clear again."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import psutil
import pytest
import pytest_asyncio

from setup.local.http_get import fetch
from setup.local.leftovers import marked_processes
from setup.local.platform import METRICS, Platform
from tests.contract.api import Api, new_cookie
from tests.marks import second_tier
from tests.tags import new_tag
from tests.waiting import eventually

pytestmark = second_tier


STORE = "mariadb-1"
ACTOR = "ServeReplica:case3:case3-1"


@pytest.fixture
def watched(platform: Platform) -> Iterator[Platform]:
    """With a Prometheus that scrapes every second, and rules without delay."""
    platform.up([METRICS])
    quick = replace(platform.prometheus, interval_s=1, alert_after="1s")
    for path, text in quick.files().items():
        path.write_text(text)
    psutil.Process(platform.supervisor.states()[quick.name].pid).send_signal(1)  # HUP
    yield platform
    platform.supervisor.stop_programs([quick.name])
    # Restore, or the next `up` would restart everything because of the difference.
    for path, text in platform.prometheus.files().items():
        path.write_text(text)


@pytest_asyncio.fixture
async def api(platform: Platform) -> AsyncIterator[Api]:
    async with Api("127.0.0.1", platform.http_port) as api:
        yield api


def firing(platform: Platform) -> set[str]:
    """Names of the alerts that fire, with the partition if they have one."""
    alerts = json.loads(fetch(f"{platform.prometheus.url}/api/v1/alerts"))["data"]["alerts"]
    return {
        " ".join(filter(None, (a["labels"]["alertname"], a["labels"].get("partition"))))
        for a in alerts
        if a["state"] == "firing"
    }


def actor(platform: Platform) -> psutil.Process:
    return next(
        process
        for process in marked_processes(platform.folder.root)
        if ACTOR in " ".join(process.cmdline())
    )


async def test_alerts_fire_and_clear(watched: Platform, api: Api) -> None:
    await api.accept([new_tag(new_cookie(), "2022-03-03T00:00:00Z")])

    async def quiet() -> bool:
        return not firing(watched) & faults

    async def all_fire() -> bool:
        return faults <= firing(watched)

    async def scraped() -> bool:
        answer = fetch(f"{watched.prometheus.url}/api/v1/query?query=ray_user_tags_next_offset")
        return len(json.loads(answer)["data"]["result"]) == 3

    faults = {"MysqlDown", "PartitionNotCounted 1"}
    await eventually(scraped, timeout_s=60, every_s=0.5)
    await eventually(quiet, timeout_s=60, every_s=0.5)

    stopped = actor(watched)
    watched.supervisor.stop_programs([STORE])
    # Stopped: Serve replaces it some time later.
    stopped.suspend()
    try:
        await eventually(all_fire, timeout_s=90, every_s=0.5)
    finally:
        watched.supervisor.start_programs([STORE])
        if stopped.is_running():
            stopped.resume()

    await eventually(quiet, timeout_s=120, every_s=0.5)
