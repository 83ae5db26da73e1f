"""Two Ray clusters count one topic into one database, as every upgrade has it for a while.

The second has the stream side only. Its actors stand by until those of the first fall silent, and
take over; all are killed by turns, so that partitions change hands both ways.
"""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml

from serve_app.core.names import CASE3_APP
from setup.local.parts.ray import SERVE_CONFIG
from setup.local.platform import Platform
from tests.conftest import instance
from tests.system.load import (
    ACTORS,
    KILL_EVERY_S,
    RATE,
    SECONDS,
    assert_never_wrong,
    killing,
    subscribe,
    wait_for_rest,
)

TAGS = RATE * SECONDS


@pytest.fixture(scope="module")
def clusters(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Platform, Platform]]:
    """A whole platform, and a Ray cluster beside it that uses the same stores."""
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


def statuses(platform: Platform) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{platform.http_port}/case3/status"
    with urllib.request.urlopen(url, timeout=10) as answer:
        partitions: list[dict[str, Any]] = json.load(answer)["partitions"]
    return partitions


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


def test_every_tag_is_counted_once_by_one_of_them(
    clusters: tuple[Platform, Platform], tmp_path: Path
) -> None:
    first, _ = clusters
    report = subscribe(first, tmp_path, "2022-03-01T00:00:00Z", seed=3)
    assert report["flawless"], json.dumps(report["counters"])
    assert counted(first) == TAGS
    both = [statuses(platform) for platform in clusters]
    for partition, (one, other) in enumerate(zip(*both, strict=True)):
        assert one["tags"] + other["tags"] > 0, partition
        assert one["log_end"] == other["log_end"] or "standing by" in one["state"] + other["state"]
    # Both tried, and the loser of each race said so.
    assert sum(status["conflicts"] for group in both for status in group) >= len(ACTORS)


def test_nothing_is_wrong_while_partitions_change_hands(
    clusters: tuple[Platform, Platform], tmp_path: Path
) -> None:
    before = counted(clusters[0])
    with killing(clusters, ACTORS) as killed:
        report = subscribe(clusters[0], tmp_path, "2022-03-10T00:00:00Z", seed=4)
    assert len(killed) >= min(10, SECONDS / KILL_EVERY_S)
    assert_never_wrong(report)
    tags = report["counters"]["tags"]
    assert tags["dropped"] == 0, tags
    assert counted(clusters[0]) - before == tags["sent"] == TAGS
