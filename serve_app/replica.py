"""A replica of ``case12`` without Serve: the stores, the rules and the HTTP application, wired.

Serve wraps it in `serve_app.app`; the benchmarks run the same object under plain uvicorn.
"""

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

from serve_app import health, version
from serve_app.admission import AdmissionLimits, admission
from serve_app.core.metrics import NoRecorder, Recorder
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import Settings, with_live
from serve_app.freshness import FreshAggregates, FreshProfiles
from serve_app.http.bearer import require_token
from serve_app.http.endpoints import Endpoints
from serve_app.http.routes import build_routes
from serve_app.ingest import Ingest, IngestLimits
from serve_app.replica_metrics import ReplicaMetrics
from serve_app.stores.aggregates import Aggregates
from serve_app.stores.database import create_engine
from serve_app.stores.log_ends import LogEnds
from serve_app.stores.profiles import Profiles
from serve_app.stores.redis_clients import connect_shards
from serve_app.stores.tag_log import TagLog


class Replica:
    """All parts of one replica; start it in the event loop that serves the requests."""

    def __init__(self, settings: Settings, recorder: Recorder | None = None) -> None:
        self._settings = settings
        recorder = recorder or NoRecorder()
        self._shards = connect_shards(settings)
        self._log = TagLog(settings, USER_TAGS_TOPIC)
        self._log_ends = LogEnds(settings)
        self._engine = create_engine(settings, pool_size=4, max_overflow=4)
        profiles = Profiles(self._shards, idle_days=settings.profile_idle_days)
        self._ingest = Ingest(self._log, profiles, _ingest_limits(settings), recorder)
        self._aggregates = FreshAggregates(
            Aggregates(self._engine),
            self._log_ends,
            promise_s=settings.aggregate_promise_s,
            recorder=recorder,
        )
        checks = {
            "redis": health.redis_check(self._shards),
            "kafka": health.kafka_check(self._log, self._log_ends),
            "mysql": health.mysql_check(self._engine),
        }
        self.metrics = ReplicaMetrics(
            recorder,
            ingest=self._ingest,
            log=self._log,
            log_ends=self._log_ends,
            checks=checks,
            admission=admission,
        )
        self._watch: asyncio.Task[None] | None = None
        self._profiles = FreshProfiles(profiles, self._log_ends, recorder=recorder)
        self._endpoints = Endpoints(
            self._ingest,
            self._profiles,
            self._aggregates,
            profile_timeout_s=settings.profile_timeout_s,
            aggregate_timeout_s=settings.aggregate_timeout_s,
            fallback=build_routes(
                functools.partial(health.report, checks),
                functools.partial(
                    version.report,
                    {"redis": health.redis_version(self._shards), "mysql": checks["mysql"]},
                ),
            ),
            recorder=recorder,
            record_request_ids=settings.record_request_ids,
        )
        self.app = require_token(self._endpoints, settings.api_token)
        """The ASGI application."""

    def reconfigure(self, user_config: Mapping[str, Any] | None) -> None:
        """Change settings while requests are under way; what is not named is as at the start.

        Raises:
            ValueError: names the settings that cannot change live or break a rule; then nothing
                has changed.
        """
        settings = with_live(self._settings, user_config)
        self._ingest.limits = _ingest_limits(settings)
        admission.limits = _admission_limits(settings)
        self._profiles.quick_writes = settings.profile_quick_writes
        self._aggregates.rule.promise_s = settings.aggregate_promise_s
        self._endpoints.profile_timeout_s = settings.profile_timeout_s
        self._endpoints.aggregate_timeout_s = settings.aggregate_timeout_s

    def start(self) -> None:
        """Begin to connect, for as long as each store takes; requests until then get 503."""
        self.reconfigure(None)
        admission.start()
        self._shards.start()
        self._log.start()
        self._log_ends.start()
        self._watch = asyncio.create_task(self.metrics.watch_stores(), name="watch-stores")

    def loops(self) -> list[asyncio.Task[None]]:
        """Background tasks that never end between `start` and `stop`, whatever stores do."""
        tasks = (self._shards.task, self._log.task, self._log_ends.task, self._watch)
        return [task for task in tasks if task is not None]

    async def wait_ready(self) -> None:
        """Return when Redis and Kafka are connected: tags and profiles can be served.

        With a first sample of the log's ends, too: without one no profile can be answered.
        """
        await self._log.wait_ready()
        await self._shards.wait_ready()
        await self._log_ends.wait_ready()

    async def stop(self) -> None:
        """Finish what was accepted, then disconnect."""
        admission.stop()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._ingest.drain()
        await self._log_ends.stop()
        await self._log.stop()
        await self._shards.stop()
        await self._engine.dispose()


def _ingest_limits(settings: Settings) -> IngestLimits:
    return IngestLimits(
        linger_ms=settings.ingest_linger_ms,
        max_waiting=settings.ingest_max_waiting,
        timeout_s=settings.ingest_timeout_s,
        quick_writes=settings.profile_quick_writes,
    )


def _admission_limits(settings: Settings) -> AdmissionLimits:
    return AdmissionLimits(
        max_busy=settings.ingest_max_busy,
        min_own_work=settings.ingest_min_own_work,
        min_under_way=settings.ingest_min_under_way,
        target_s=settings.ingest_target_s,
    )
