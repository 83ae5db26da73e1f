"""Every panel asks for metrics that exist and are exported."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from serve_app.core.metrics import CATALOGUE, exported
from setup.local.http_get import fetch
from setup.local.parts.prometheus import ALERTS
from setup.local.platform import METRICS, Platform
from setup.monitoring.dashboard import dashboard
from tests.metrics.scrape import scrape
from tests.metrics.test_alerts import by_name
from tests.waiting import eventually

DASHBOARD: dict[str, Any] = json.loads(dashboard())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
RULES = [rule["expr"] for rule in by_name(ALERTS).values()]
NAME = re.compile(r"\bray_\w+")


def test_every_metric_of_ours_that_is_asked_for_is_in_the_catalogue() -> None:
    ours = {name for metric in CATALOGUE for name in exported(metric)}

    for expression in EXPRESSIONS + RULES:
        asked = {name for name in NAME.findall(expression) if name.startswith("ray_user_tags")}
        assert asked <= ours, expression


def test_every_metric_of_the_catalogue_has_a_panel() -> None:
    asked = {name for expression in EXPRESSIONS for name in NAME.findall(expression)}

    assert not [m.name for m in CATALOGUE if not asked & set(exported(m))]


def test_panels_do_not_overlap() -> None:
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]

    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


@pytest.mark.parametrize("expressions", [EXPRESSIONS, RULES], ids=["panels", "alerts"])
async def test_every_metric_of_ray_that_is_asked_for_is_there(
    platform: Platform, expressions: list[str]
) -> None:
    asked = {name for expression in expressions for name in NAME.findall(expression)}
    of_ray = {name for name in asked if not name.startswith("ray_user_tags")}

    async def all_there() -> bool:
        return of_ray <= {one.name for one in scrape(platform)}

    # Ray samples its node every few seconds.
    await eventually(all_there, timeout_s=60, every_s=1)


def test_prometheus_reads_every_expression(platform: Platform) -> None:
    platform.up([METRICS])
    try:
        for expression in EXPRESSIONS:
            query = expression.replace("$__rate_interval", "1m")
            url = f"{platform.prometheus.url}/api/v1/query?query={quote(query, safe='')}"
            assert json.loads(fetch(url))["status"] == "success", expression
        # Ray's dashboard finds it, too.
        health = json.loads(fetch(f"{platform.ray.dashboard_url}/api/prometheus_health"))
        assert health["result"], health
    finally:
        platform.supervisor.stop_programs([platform.prometheus.name])
