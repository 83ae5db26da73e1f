"""For each alert: series for which it fires, and similar ones for which it must not.

Series in promtool's notation, every 15 s: ``a+bxn`` begins with a and adds b n times, ``stale`` is
the end of a series (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Figures = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """``fires`` and ``quiet`` at ``at``, with the labels of the series that the rule gives."""

    fires: Figures
    quiet: Figures
    labels: Mapping[str, str] = field(default_factory=dict)
    at: str = "10m"
    also: Sequence[Figures] = ()
    """Other series for which it fires, each alone."""


def _up(store: str, value: int) -> dict[str, str]:
    # One replica of two.
    return {
        f'ray_user_tags_store_up{{store="{store}", WorkerId="a"}}': "1x60",
        f'ray_user_tags_store_up{{store="{store}", WorkerId="b"}}': f"{value}x60",
    }


def _refused(endpoint: str, status: int, values: str) -> dict[str, str]:
    labels = f'endpoint="{endpoint}", status="{status}", reason="R"'
    return {f"ray_user_tags_requests_refused_total{{{labels}}}": values}


def _partition(log_end: str, next_offset: str, last_flush: str = "0+15x60") -> dict[str, str]:
    return {
        'ray_user_tags_log_end_offset{partition="1", WorkerId="a"}': log_end,
        'ray_user_tags_log_end_offset{partition="1", WorkerId="b"}': log_end,
        'ray_user_tags_next_offset{partition="1"}': next_offset,
        'ray_user_tags_last_flush_timestamp_seconds{partition="1"}': last_flush,
    }


def _profile_lag(log_end: str, lag: str) -> dict[str, str]:
    return {
        'ray_user_tags_log_end_offset{partition="1", WorkerId="a"}': log_end,
        'ray_user_tags_log_end_offset{partition="1", WorkerId="b"}': log_end,
        'ray_user_tags_profile_lag_records{partition="1", shard="2"}': lag,
    }


def _conflicts(tags: str) -> dict[str, str]:
    return {
        'ray_user_tags_flush_conflicts_total{partition="1"}': "0+1x60",
        'ray_user_tags_counted_total{partition="1"}': tags,
    }


def _state(running: str, failed: str = "0x60") -> dict[str, str]:
    return {
        'ray_user_tags_log_end_offset{partition="1", WorkerId="a"}': "0+15x60",
        'ray_user_tags_partition_state{partition="1", state="running"}': running,
        'ray_user_tags_partition_state{partition="1", state="failed"}': failed,
    }


def _replicas(healthy: int) -> dict[str, str]:
    labels = 'application="case12", deployment="case12"'
    replicas = {
        f'ray_serve_deployment_replica_healthy{{{labels}, replica="{n}"}}': "1x60"
        for n in range(healthy)
    }
    return {f"ray_serve_autoscaling_target_replicas{{{labels}}}": "3x60", **replicas}


def _store_seconds(slow_per_step: int) -> dict[str, str]:
    name = "ray_user_tags_store_seconds_bucket"
    labels = 'store="redis", operation="write"'
    return {
        f'{name}{{{labels}, le="0.1"}}': f"0+{100 - slow_per_step}x60",
        f'{name}{{{labels}, le="0.2"}}': "0+100x60",
        f'{name}{{{labels}, le="+Inf"}}': "0+100x60",
    }


def _disk(free: int) -> dict[str, str]:
    return {'ray_node_disk_free{ip="x"}': f"{free}x60", 'ray_node_disk_usage{ip="x"}': "90x60"}


def _dictionary(names: int) -> dict[str, str]:
    # Two actors counted at different moments.
    return {
        'ray_user_tags_dictionary_names{dimension="origin", WorkerId="a"}': "100x60",
        'ray_user_tags_dictionary_names{dimension="origin", WorkerId="b"}': f"{names}x60",
        'ray_user_tags_dictionary_names{dimension="brand_id", WorkerId="b"}': "250x60",
        'ray_user_tags_dictionary_max_names{WorkerId="a"}': "100000x60",
        'ray_user_tags_dictionary_max_names{WorkerId="b"}': "100000x60",
    }


ONCE = "0x34 1x30"
"""A counter that grows by one within the last ten minutes."""
PARTITION = {"partition": "1"}

PLATFORM: Mapping[str, Case] = {
    "NoReplicaReports": Case({"up": "1x60"}, _up("redis", 0)),
    "ReplicasMissing": Case(
        _replicas(2), _replicas(3), {"application": "case12", "deployment": "case12"}
    ),
    "TagsRefused": Case(_refused("user_tags", 503, "0+1x60"), _refused("user_tags", 422, "0+1x60")),
    "Overloaded": Case(
        {"ray_user_tags_overload_refused_total": "0+1x60"},
        {"ray_user_tags_overload_refused_total": "7x60"},
    ),
    "BadTags": Case(
        {"ray_user_tags_accepted_total": "0+90x60", **_refused("user_tags", 422, "0+1x60")},
        {"ray_user_tags_accepted_total": "0+110x60", **_refused("user_tags", 422, "0+1x60")},
    ),
    "QueriesRefused": Case(
        _refused("aggregates", 503, "0+1x60"),
        _refused("aggregates", 422, "0+1x60"),
        {"endpoint": "aggregates"},
    ),
    "InternalErrors": Case(
        {'ray_serve_num_http_requests_total{application="case12", status_code="500"}': "0x39 1x20"},
        {'ray_serve_num_http_requests_total{application="case12", status_code="503"}': "0x39 1x20"},
        {"application": "case12"},
    ),
    "SlowStore": Case(_store_seconds(2), _store_seconds(0), {"store": "redis"}, at="15m"),
    "TagsWaiting": Case(
        {"ray_user_tags_waiting_tags": "1001x60"}, {"ray_user_tags_waiting_tags": "999x60"}
    ),
    "RedisShardDown": Case(_up("redis", 0), _up("redis", 1) | _up("mysql", 0)),
    "KafkaDown": Case(_up("kafka", 0), _up("kafka", 1)),
    "MysqlDown": Case(_up("mysql", 0), _up("mysql", 1)),
    "ProfilesBehind": Case(
        # 100 tags a second, and 11 s of them not applied.
        _profile_lag("0+1500x60", "1100x60"),
        _profile_lag("0+1500x60", "900x60"),
        PARTITION | {"shard": "2"},
    ),
    "ProfilesLost": Case(
        {"ray_user_tags_profile_lost_shards": "0x30 1x30"},
        {"ray_user_tags_profile_lost_shards": "0x60"},
    ),
    "ProducersReplaced": Case(
        {"ray_user_tags_producers_replaced_total": "0x20 0+1x5 5x30"},
        {"ray_user_tags_producers_replaced_total": ONCE},
    ),
    "DiskNearlyFull": Case(_disk(9), _disk(11)),
    "PartitionNotCounted": Case(
        # Its actor went silent.
        _state("1x20 stale", "0x20 stale"),
        _state("1x60"),
        PARTITION,
    ),
    "PartitionFailed": Case(_state("0x60", "1x60"), _state("0x60", "0x60"), PARTITION),
    "AggregatesLate": Case(
        _partition("0+15x60", "0+15x30 450x30", "0+15x30 450x30"),
        # Idle: no flush, and nothing to count.
        _partition("0+15x30 450x30", "0+15x30 450x30", "0+15x30 450x30"),
        PARTITION,
    ),
    "LagHigh": Case(
        _partition("0+1000x60", "0+400x60"), _partition("0+1000x60", "0+900x60"), PARTITION
    ),
    "DeadLetters": Case(
        {'ray_user_tags_dead_letters_total{topic="t"}': ONCE},
        {'ray_user_tags_dead_letters_total{topic="t"}': "7x60"},
        {"topic": "t"},
    ),
    "LateTags": Case(
        {"ray_user_tags_late_total": "0+2x80", "ray_user_tags_counted_total": "0+150x80"},
        {"ray_user_tags_late_total": "0+2x80", "ray_user_tags_counted_total": "0+250x80"},
        at="16m",
    ),
    "NamesFlood": Case(
        # Names that are only dated far ahead stop there.
        _dictionary(50_000),
        _dictionary(49_000),
        {"dimension": "origin"},
    ),
    "NamesCapped": Case(
        {'ray_user_tags_capped_names_total{partition="1"}': ONCE},
        {'ray_user_tags_capped_names_total{partition="1"}': "7x60"},
    ),
    "MissingOffsets": Case(
        {'ray_user_tags_missing_offsets_total{partition="1"}': ONCE},
        {'ray_user_tags_missing_offsets_total{partition="1"}': "7x60"},
        PARTITION,
    ),
    "TwinActors": Case(
        _conflicts(tags="0+300x60"),
        # Of a partition that gets a tag a second.
        _conflicts(tags="0+15x60"),
        PARTITION,
    ),
}


def _worker(ready: int) -> dict[str, str]:
    return {
        f'kube_pod_status_ready{{namespace="user-tags", pod="user-tags-x-serve-worker-{n}", '
        f'condition="true"}}': f"{int(n < ready)}x60"
        for n in range(3)
    }


def _head(ready: int) -> dict[str, str]:
    labels = 'namespace="user-tags", pod="user-tags-x-head-y", condition="true"'
    return {f"kube_pod_status_ready{{{labels}}}": f"{ready}x60"}


def _mysql(ready: int) -> dict[str, str]:
    labels = 'namespace="user-tags", statefulset="mysql-mysql"'
    return {f"kube_statefulset_status_replicas_ready{{{labels}}}": f"{ready}x60"}


def _gcs_redis(ready: int, *, of: int) -> dict[str, str]:
    labels = 'namespace="user-tags", statefulset="gcs-redis"'
    return {
        f"kube_statefulset_status_replicas_ready{{{labels}}}": f"{ready}x60",
        f"kube_statefulset_replicas{{{labels}}}": f"{of}x60",
    }


def _job(failed: int) -> dict[str, str]:
    """As kube-state-metrics exports a job one of whose pods failed (internal/store/job.go)."""
    labels = 'namespace="user-tags", job_name="mysql-schema"'
    if not failed:
        return {
            f'kube_job_status_failed{{{labels}, reason=""}}': "1x60",
            f"kube_job_status_succeeded{{{labels}}}": "1x60",
            f'kube_job_complete{{{labels}, condition="true"}}': "1x60",
        }
    return {
        f'kube_job_status_failed{{{labels}, reason="DeadlineExceeded"}}': "1x60",
        f"kube_job_status_succeeded{{{labels}}}": "0x60",
        f'kube_job_failed{{{labels}, condition="true"}}': "1x60",
        f'kube_job_failed{{{labels}, condition="false"}}': "0x60",
        f'kube_job_failed{{{labels}, condition="unknown"}}': "0x60",
    }


def _named(name: str, values: str) -> dict[str, str]:
    return {f'{name}{{namespace="user-tags"}}': values}


def _link(up: int) -> dict[str, str]:
    name = "redis_master_link_up"
    return {
        f'{name}{{namespace="user-tags", pod="redis-3", master_host="a"}}': f"{up}x60",
        f'{name}{{namespace="user-tags", pod="redis-4", master_host="b"}}': "1x60",
        f'{name}{{namespace="user-tags", pod="redis-5", master_host="c"}}': "1x60",
    }


def _memory(used: int) -> dict[str, str]:
    return _named("redis_memory_used_bytes", f"{used}x80") | _named(
        "redis_memory_max_bytes", "100x80"
    )


def _cronjob(what: str, at_s: str) -> dict[str, str]:
    return {f'kube_cronjob_{what}{{namespace="user-tags", cronjob="redis-hosts"}}': at_s}


GCS_REDIS = {"namespace": "user-tags", "statefulset": "gcs-redis"}
MYSQL = {"namespace": "user-tags", "statefulset": "mysql-mysql"}
MIN_ISR = "kafka_server_replicamanager_underminisrpartitioncount"
REPLICAS = "kafka_server_replicamanager_underreplicatedpartitions"
JOB = {"job_name": "mysql-schema"}
DISK = 'node_filesystem_avail_bytes{fstype="ext4"}'


def _file_system(free: int, mountpoint: str = "/data") -> dict[str, str]:
    of = f'instance="x", device="y", fstype="xfs", mountpoint="{mountpoint}"'
    return {
        f"node_filesystem_avail_bytes{{{of}}}": f"{free}x60",
        f"node_filesystem_size_bytes{{{of}}}": "100x60",
    }


KUBERNETES: Mapping[str, Case] = {
    "ServeWorkersMissing": Case(_worker(2), _worker(3)),
    "ServeDown": Case(_worker(0), _worker(1)),
    "RayControlDown": Case(_head(0), _head(1)),
    "GcsRedisMissing": Case(
        _gcs_redis(1, of=3), _gcs_redis(2, of=3), GCS_REDIS, also=[_gcs_redis(0, of=1)]
    ),
    "KafkaUnderMinimumInSync": Case(_named(MIN_ISR, "1x60"), _named(MIN_ISR, "0x60")),
    "KafkaUnderReplicated": Case(_named(REPLICAS, "1x60"), _named(REPLICAS, "0x60")),
    "RedisSlotsFailed": Case(
        _named("redis_cluster_slots_fail", "1x60"), _named("redis_cluster_slots_fail", "0x60")
    ),
    "RedisReplicationBroken": Case(_link(0), _link(1), {"pod": "redis-3"}),
    # The last one: no replica at all.
    "RedisReplicaMissing": Case(_link(0), _link(1), also=[{}]),
    "RedisNotParted": Case(
        _cronjob("created", "0x300") | _cronjob("status_last_successful_time", "0x300"),
        _cronjob("created", "0x300") | _cronjob("status_last_successful_time", "3600x300"),
        {"cronjob": "redis-hosts"},
        at="70m",
        # It has never succeeded.
        also=[_cronjob("created", "0x300")],
    ),
    "RedisMemoryNearlyFull": Case(_memory(81), _memory(79), at="15m"),
    "MysqlMemberMissing": Case(_mysql(2), _mysql(3), MYSQL),
    "MysqlQuorumLost": Case(_mysql(1), _mysql(2), MYSQL),
    "DiskNearlyFull": Case(
        _file_system(24),
        # A small one that no store uses is often full.
        _file_system(26) | _file_system(5, "/boot"),
        {"instance": "x", "device": "y"},
    ),
    "DiskFilling": Case(
        # 15 s each: 1,000 bytes a minute, and 1.44 MB a day.
        {DISK: "1000000-250x160"},
        {DISK: "3000000-250x160"},
        {"fstype": "ext4"},
        at="40m",
    ),
    "JobFailed": Case(_job(failed=1), _job(failed=0), JOB),
}
