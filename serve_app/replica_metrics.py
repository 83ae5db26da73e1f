"""Metrics of a replica that are read from its parts at each export."""

import asyncio
from collections.abc import Mapping
from typing import Final

from serve_app import health
from serve_app.admission import Admission
from serve_app.core.metrics import (
    AGGREGATE_WAITS,
    LOG_END_OFFSET,
    OVERLOAD_REFUSED,
    PRODUCERS_REPLACED,
    PROFILE_WAITS,
    STORE_UP,
    TAGS_ACCEPTED,
    TAGS_WAITING,
    Recorder,
    Totals,
)
from serve_app.ingest import Ingest
from serve_app.stores.log_ends import LogEnds
from serve_app.stores.tag_log import TagLog

LOOK_S: Final = 5.0
"""Seconds between two checks of the stores: a PING per shard and one statement each."""


class ReplicaMetrics:
    """Reads the parts of one replica."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        ingest: Ingest,
        log: TagLog,
        log_ends: LogEnds,
        checks: Mapping[str, health.Check],
        admission: Admission,
    ) -> None:
        """``checks``: each store by name, as for the health report."""
        self._recorder = recorder
        self._totals = Totals(recorder)
        self._ingest = ingest
        self._log = log
        self._log_ends = log_ends
        self._checks = checks
        self._admission = admission
        for metric in (TAGS_ACCEPTED, PROFILE_WAITS, AGGREGATE_WAITS):
            recorder.add(metric, 0)

    def collect(self) -> None:
        """Metrics that need no I/O."""
        self._recorder.set(TAGS_WAITING, self._ingest.waiting)
        self._totals.tell(PRODUCERS_REPLACED, self._log.replaced)
        self._totals.tell(OVERLOAD_REFUSED, self._admission.refused)
        newest = self._log_ends.newest
        if newest is not None:
            for partition, offset in newest.ends.items():
                self._recorder.set(LOG_END_OFFSET, offset, str(partition))

    async def watch_stores(self) -> None:
        """Check each store periodically until cancelled."""
        while True:
            stores = (await health.report(self._checks))["stores"]
            for name, state in stores.items():
                self._recorder.set(STORE_UP, state["status"] == "ok", name)
            await asyncio.sleep(LOOK_S)
