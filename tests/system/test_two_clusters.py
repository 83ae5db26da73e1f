"""Two Ray clusters count one topic into one database, as during every upgrade.

The second has the stream side only. Its actors are on standby until those of the first fall silent,
and take over; all are killed in turn, so that partitions change hands both ways.
"""

import json
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql
import pytest
import yaml

from serve_app.core.names import CASE3_APP
from setup.local.parts.ray import SERVE_CONFIG
from setup.local.platform import Platform
from tests.conftest import instance
from tests.marks import third_tier
from tests.system.load import (
    ACTORS,
    KILL_EVERY_S,
    RATE,
    SECONDS,
    TIMEOUT_S,
    assert_never_wrong,
    killing,
    subscribe,
)
from tests.waiting import wait_for_rest

pytestmark = [pytest.mark.timeout(TIMEOUT_S), third_tier]

LOAD_S = SECONDS * 3 // 4


@pytest.fixture(scope="module")
def clusters(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Platform, Platform]]:
    """A complete platform, and a second Ray cluster that uses the same stores."""
    config = yaml.safe_load(SERVE_CONFIG.read_text())
    config["applications"] = [one for one in config["applications"] if one["name"] == CASE3_APP]
    only_case3 = tmp_path_factory.mktemp("config") / "serve.yaml"
    only_case3.write_text(yaml.safe_dump(config))
    with instance(tmp_path_factory) as first:
        first.up()
        stores = first.environment()
        with instance(tmp_path_factory, stores, serve_config=only_case3) as second:
            second.up(("ray",))
            wait_for_rest()
            yield first, second


@contextmanager
def watching(platforms: Sequence[Platform]) -> Iterator[list[int]]:
    """Yields the maximum of tags reported by any actor of each platform."""
    finished = threading.Event()
    most = [0] * len(platforms)

    def watch() -> None:
        while not finished.wait(1):
            for number, platform in enumerate(platforms):
                url = f"http://127.0.0.1:{platform.http_port}/case3/status"
                with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                    tags = [status["tags"] for status in json.load(answer)["partitions"]]
                    most[number] = max(most[number], *tags)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        finished.set()
        watcher.join()


def counted(platform: Platform) -> int:
    """Tags in the tables, by their totals."""
    settings = platform.settings()
    connection = pymysql.connect(
        host=settings.mysql_host,
        port=settings.mysql_port,
        user=settings.mysql_user,
        password=settings.mysql_password.get_secret_value(),
        database=settings.mysql_database,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(SUM(count), 0) FROM rollups WHERE dimension = 0")
        (row,) = cursor.fetchall()
        return int(row[0])


def test_nothing_is_wrong_while_partitions_change_hands(
    clusters: tuple[Platform, Platform], tmp_path: Path
) -> None:
    with killing(clusters, ACTORS) as killed, watching(clusters) as most:
        report = subscribe(clusters[0], tmp_path, "2022-03-01T00:00:00Z", seed=3, seconds=LOAD_S)
    assert len(killed) >= min(10, LOAD_S / KILL_EVERY_S)
    assert_never_wrong(report)
    # Tags that were not acknowledged in time may be stored or not.
    tags = report["counters"]["tags"]
    assert tags["sent"] == RATE * LOAD_S
    assert tags["sent"] - tags["dropped"] <= counted(clusters[0]) <= tags["sent"]
    # Both have had their turn.
    assert min(most) > 0, most
