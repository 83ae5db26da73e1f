"""Each metric of the catalogue is in Ray's export of a running platform, with the right figures."""

from collections.abc import AsyncIterator

import psutil
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from serve_app.core.metrics import (
    AGGREGATE_WAITS,
    CATALOGUE,
    DEAD_LETTERS,
    REQUESTS_REFUSED,
    STORE_UP,
    TAGS_ACCEPTED,
    TAGS_COUNTED,
    exported,
)
from serve_app.core.names import USER_TAGS_TOPIC
from setup.local.platform import Platform
from setup.local.ports import HOST
from tests.contract.api import Api, new_cookie
from tests.marks import second_tier
from tests.metrics.scrape import Series, scrape, total
from tests.tags import new_tag
from tests.waiting import eventually

pytestmark = second_tier


TAGS = 40
EXPORT_S = 10  # Ray's agent gets figures that often, from each process at a time of its own.
DAY = "2022-03-02T00:00:00_2022-03-03T00:00:00"
MINUTE = "2022-03-02T00:00:00_2022-03-02T00:01:00"


@pytest_asyncio.fixture
async def api(platform: Platform) -> AsyncIterator[Api]:
    async with Api("127.0.0.1", platform.http_port) as api:
        yield api


def names(metric_series: list[Series]) -> set[str]:
    return {one.name for one in metric_series}


async def at_rest(platform: Platform) -> list[Series]:
    """The export once it includes all tags of earlier tests: two equal ones in a row."""
    found: list[Series] = []

    async def same() -> bool:
        nonlocal found
        earlier, found = found, scrape(platform)
        return bool(earlier) and all(
            total(earlier, *exported(metric)) == total(found, *exported(metric))
            for metric in (TAGS_ACCEPTED, TAGS_COUNTED, REQUESTS_REFUSED)
        )

    await eventually(same, timeout_s=60, every_s=1.5 * EXPORT_S)
    return found


async def test_traffic_shows_in_every_metric(platform: Platform, api: Api) -> None:
    before = await at_rest(platform)
    cookie = new_cookie()
    await api.accept(new_tag(cookie, f"2022-03-02T00:00:{n:02d}Z") for n in range(TAGS))
    assert (await api.post_tag(b"no tag")).status_code == 400
    await api.profile(cookie, DAY)
    await api.aggregates(MINUTE, "VIEW", ["COUNT"])
    bootstrap = platform.environment()["TAGS_KAFKA_BOOTSTRAP"]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(USER_TAGS_TOPIC, b"no tag either")

    def grown(name: str, **labels: str) -> float:
        return total(found, name, **labels) - total(before, name, **labels)

    found: list[Series] = []

    async def arrived() -> bool:
        nonlocal found
        found = scrape(platform)
        return (
            grown(*exported(TAGS_ACCEPTED)) >= TAGS
            and grown(*exported(TAGS_COUNTED)) >= TAGS
            and grown(*exported(DEAD_LETTERS), topic=USER_TAGS_TOPIC) >= 1
            and grown(*exported(REQUESTS_REFUSED)) >= 1
        )

    await eventually(arrived, timeout_s=60, every_s=1)

    wanted = {name for metric in CATALOGUE for name in exported(metric)}
    assert wanted <= names(found), wanted - names(found)
    # Exact: only this test sends while it runs.
    assert grown(*exported(TAGS_ACCEPTED)) == TAGS
    assert grown(*exported(TAGS_COUNTED)) == TAGS
    refused = {"endpoint": "user_tags", "status": "400", "reason": "Unreadable"}
    assert grown(*exported(REQUESTS_REFUSED), **refused) == 1
    assert total(found, *exported(AGGREGATE_WAITS)) >= 0
    up = {one.labels["store"]: one.value for one in found if one.name == exported(STORE_UP)[0]}
    assert up == {"redis": 1, "kafka": 1, "mysql": 1}


async def test_series_have_the_labels_of_the_catalogue(platform: Platform) -> None:
    series = scrape(platform)
    for metric in CATALOGUE:
        for one in series:
            if one.name in exported(metric):
                assert set(metric.labels) <= one.labels.keys(), one


def test_the_export_listens_on_loopback_only(platform: Platform) -> None:
    port = platform.ports["ray_metrics"]
    addresses = {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
    }
    assert addresses == {HOST}


async def test_few_series(platform: Platform) -> None:
    ours = [one for one in scrape(platform) if one.name.startswith("ray_user_tags_")]

    # 3 replicas and 5 actors; a histogram has up to 15 series a label.
    assert len(ours) < 1_000, len(ours)
