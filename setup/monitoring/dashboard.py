"""The Grafana dashboard, written as a table of panels over the catalogue of metrics.

``python -m kuberay.render`` writes it as JSON, for Grafana's import or its sidecar on Kubernetes.
Format: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from serve_app.core import metrics
from serve_app.core.metrics import Counter, Gauge, Histogram, exported

WIDTH: Final = 12
HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and how its series are named."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One chart; ``unit`` is Grafana's name of it."""

    title: str
    unit: str
    queries: Sequence[Query]


def rate(counter: Counter, *by: str, where: str = "") -> str:
    """Events a second, summed over processes."""
    return f"sum by ({', '.join(by)}) (rate({exported(counter)[0]}{where}[$__rate_interval]))"


def newest(gauge: Gauge, *by: str, where: str = "") -> str:
    """The highest that any process tells."""
    return f"max by ({', '.join(by)}) ({exported(gauge)[0]}{where})"


def quantile(histogram: Histogram, share: float, *by: str) -> str:
    """What ``share`` of the samples do not exceed."""
    bucket = f"rate({exported(histogram)[0]}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({', '.join((*by, 'le'))}) ({bucket}))"


def age(gauge: Gauge, *by: str) -> str:
    """Seconds since the moment that a gauge tells."""
    return f"time() - {newest(gauge, *by)}"


PANELS: Final = (
    Panel(
        "User tags",
        "reqps",
        [
            Query(rate(metrics.TAGS_ACCEPTED), "accepted"),
            Query(rate(metrics.OVERLOAD_REFUSED), "refused, with queries: overload"),
            Query(
                rate(metrics.REQUESTS_REFUSED, "reason", where='{endpoint="user_tags"}'),
                "refused: {{reason}}",
            ),
        ],
    ),
    Panel(
        "Queries",
        "reqps",
        [
            Query(rate(metrics.QUERIES_ANSWERED, "endpoint"), "{{endpoint}}"),
            Query(
                rate(metrics.REQUESTS_REFUSED, "endpoint", where='{endpoint!="user_tags"}'),
                "refused: {{endpoint}}",
            ),
        ],
    ),
    Panel(
        "Answers by status, as Serve counts them",
        "reqps",
        [
            Query(
                "sum by (status_code) (rate(ray_serve_num_http_requests_total"
                '{route!="/-/healthz"}[$__rate_interval]))',
                "{{status_code}}",
            )
        ],
    ),
    Panel(
        "Requests: 99 of 100 are answered within",
        "ms",
        [
            Query(
                "histogram_quantile(0.99, sum by (application, le) "
                "(rate(ray_serve_http_request_latency_ms_bucket[$__rate_interval])))",
                "{{application}}",
            )
        ],
    ),
    Panel(
        "Stores: 99 of 100 batches and queries take",
        "s",
        [
            Query(
                quantile(metrics.STORE_SECONDS, 0.99, "store", "operation"),
                "{{store}} {{operation}}",
            )
        ],
    ),
    Panel(
        "Stores that answer",
        "bool_on_off",
        [Query(f"min by (store) ({exported(metrics.STORE_UP)[0]})", "{{store}}")],
    ),
    Panel(
        "Tags that wait for a store",
        "short",
        [
            Query(f"sum({exported(metrics.TAGS_WAITING)[0]})", "all replicas"),
            Query(newest(metrics.TAGS_WAITING), "fullest replica"),
        ],
    ),
    Panel(
        "Kafka producers replaced",
        "short",
        [
            Query(
                f"sum(increase({exported(metrics.PRODUCERS_REPLACED)[0]}[$__rate_interval]))", "all"
            )
        ],
    ),
    Panel(
        "Lag",
        "short",
        [
            Query(
                f"{newest(metrics.LOG_END_OFFSET, 'partition')} - "
                f"{newest(metrics.NEXT_OFFSET, 'partition')}",
                "partition {{partition}}",
            ),
            Query(newest(metrics.LAG_RECORDS, "partition"), "{{partition}}, as its actor sees it"),
        ],
    ),
    Panel(
        "Tags counted",
        "ops",
        [Query(rate(metrics.TAGS_COUNTED, "partition"), "partition {{partition}}")],
    ),
    Panel(
        "Age of the watermark, and time since the last flush",
        "s",
        [
            Query(age(metrics.WATERMARK_TIMESTAMP, "partition"), "watermark {{partition}}"),
            Query(age(metrics.LAST_FLUSH_TIMESTAMP, "partition"), "flush {{partition}}"),
        ],
    ),
    Panel(
        "Flushes: 99 of 100 take",
        "s",
        [Query(quantile(metrics.FLUSH_SECONDS, 0.99, "partition"), "partition {{partition}}")],
    ),
    Panel(
        "Rows written",
        "ops",
        [Query(rate(metrics.ROWS_WRITTEN, "partition"), "partition {{partition}}")],
    ),
    Panel(
        "State of the actors",
        "short",
        [
            Query(
                f"{newest(metrics.PARTITION_STATE, 'partition', 'state')} == 1",
                "{{partition}}: {{state}}",
            )
        ],
    ),
    Panel(
        "Aggregate queries: waits",
        "s",
        [
            Query(quantile(metrics.AGGREGATE_WAIT_SECONDS, 0.99), "99 of 100 wait at most"),
            Query(rate(metrics.AGGREGATE_WAITS), "queries a second that had to wait"),
        ],
    ),
    Panel(
        "Profiles: records that a shard's position does not cover",
        "short",
        [Query(newest(metrics.PROFILE_LAG_RECORDS, "shard"), "{{shard}}")],
    ),
    Panel(
        "Profiles: feeds",
        "short",
        [
            Query(
                f"{newest(metrics.PROFILE_FEEDS, 'partition', 'state')} > 0",
                "{{partition}}: {{state}}",
            ),
            Query(rate(metrics.PROFILE_WAITS), "queries per second that had to wait"),
            Query(rate(metrics.PROFILE_TAGS_APPLIED), "tags applied per second"),
            Query(rate(metrics.PROFILE_CONFLICTS), "positions found elsewhere, per second"),
            Query(newest(metrics.PROFILE_LOST_SHARDS), "shards that lost more than the log has"),
        ],
    ),
    Panel(
        "Names that can be asked for",
        "short",
        [
            Query(newest(metrics.DICTIONARY_NAMES, "dimension"), "{{dimension}}"),
            Query(newest(metrics.DICTIONARY_MAX_NAMES), "room for, each"),
            Query(
                f"sum(increase({exported(metrics.NAMES_RETIRED)[0]}[$__rate_interval]))",
                "retired with their hours",
            ),
        ],
    ),
    Panel(
        "What should not be",
        "short",
        [
            Query(rate(metrics.DEAD_LETTERS, "topic"), "dead letters: {{topic}}"),
            Query(rate(metrics.LATE_TAGS), "late tags"),
            Query(rate(metrics.CAPPED_NAMES), "names past the cap"),
            Query(rate(metrics.CONFLICTS, "partition"), "lost races: {{partition}}"),
            Query(rate(metrics.MISSING_OFFSETS, "partition"), "missing offsets: {{partition}}"),
        ],
    ),
    Panel(
        "Replicas that are healthy",
        "short",
        [Query("sum by (deployment) (ray_serve_deployment_replica_healthy)", "{{deployment}}")],
    ),
    Panel(
        "Nodes: disk that is free",
        "percentunit",
        [Query("ray_node_disk_free / (ray_node_disk_free + ray_node_disk_usage)", "{{ip}}")],
    ),
)


def dashboard(panels: Sequence[Panel] = PANELS) -> str:
    """The JSON of all panels, two in a row."""
    content = {
        "uid": "user-tags",
        "title": "User tags",
        "tags": ["user-tags"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(content, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, 24 // WIDTH)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for at, query in enumerate(panel.queries)
        ],
    }
