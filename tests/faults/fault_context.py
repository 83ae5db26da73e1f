"""Context of a fault: the platform under load, its processes, and event time for own tags."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from setup.local.errors import SetupError
from setup.local.platform import Platform
from setup.local.status import partition_statuses
from tests.faults.cut_off import CutOff
from tests.faults.outcome import SentTag
from tests.faults.targets import Targets
from tests.webpanel.eventtime import MINUTE_MS, tag_time

OWN_MINUTES = 10
"""Minutes of event time before a subscription that are reserved for the faults' own tags."""
LOOK_S = 1.0
"""Seconds between two checks of all parts, each of which costs 0.1 s of one core."""
STEADY_S = 4.0
"""Healthy: no problem seen for this long."""


@dataclass
class FaultContext:
    """One running platform and one subscription."""

    platform: Platform
    targets: Targets
    random: Random
    start_ms: int
    """Event time of the subscription's first tag."""
    cut_off: CutOff | None = None
    small_disks: dict[str, Path] = field(default_factory=dict)
    """Data folders on small file systems of their own, by part."""
    own_tags: list[SentTag] = field(default_factory=list)
    """Sent by faults."""
    paired: list[bytes] = field(default_factory=list)
    """Tags that must be in all stores or in none, whatever the outcome."""
    _made: int = 0

    def tag(self) -> SentTag:
        """A tag with its own cookie and event time; the caller sets its outcome."""
        ms = self.start_ms - OWN_MINUTES * MINUTE_MS + self._made
        document = {
            "time": tag_time(ms),
            "cookie": f"fault-{self.start_ms}-{self._made}",
            "country": "PL",
            "device": "PC",
            "action": "VIEW" if self._made % 2 else "BUY",
            "origin": "FAULTS",
            "product_info": {
                "product_id": 0,
                "brand_id": "Fault_Brand",
                "category_id": "Faults",
                "price": self._made % 1000,
            },
        }
        self._made += 1
        return SentTag(json.dumps(document).encode(), ms, 0)

    def problem(self) -> str | None:
        """Describes an unhealthy part or partition; None if all are healthy."""
        for part in self.platform.parts:
            try:
                problem = part.problem()
            except SetupError as error:
                problem = str(error)
            if problem:
                return f"{part.name}: {problem}"
        return self.replicas() or self.lag()

    def replicas(self) -> str | None:
        """Describes a deployment of Serve that is unhealthy, or lacks a running replica."""
        try:
            applications = self.platform.ray.applications()
        except (OSError, ValueError) as error:
            return f"no status from Serve ({error})"
        for application in applications.values():
            for name, deployment in application["deployments"].items():
                states = [replica["state"] for replica in deployment["replicas"]]
                wanted = deployment["deployment_config"].get("num_replicas") or 1
                if deployment["status"] != "HEALTHY" or states != ["RUNNING"] * wanted:
                    return f"deployment {name} is {deployment['status']} with {states}"
        return None

    def lag(self, least: int = 2_000) -> str | None:
        """Describes a view that is stuck or more than ``least`` tags behind."""
        try:
            statuses = partition_statuses(self.platform)
        except (OSError, ValueError, KeyError) as error:
            return f"no status of the partitions ({error})"
        for status in statuses:
            name = f"partition {status.get('partition')}"
            if status.get("state") != "running":
                return f"{name} is {status.get('state')}"
            if (status.get("lag") or 0) > least:
                return f"{name} is {status['lag']} tags behind"
            for feed in status.get("profiles", ()):
                of = f"profiles of {feed['shard']} from {name}"
                if feed["state"] not in ("running", "idle"):
                    return f"{of}: {feed['state']}"
                if feed["lost_before"]:
                    return f"{of} lack what was before offset {feed['lost_before']}"
                if (feed["lag"] or 0) > least:
                    return f"{of} are {feed['lag']} tags behind"
        return None

    def wait_whole(self, timeout_s: float) -> tuple[float, str | None]:
        """Wait until everything is healthy for `STEADY_S`.

        Returns the seconds to the last problem, and that problem if the time-out came first.
        """
        started_s = last_s = time.monotonic()
        while True:
            problem = self.problem()
            now_s = time.monotonic()
            if problem is not None:
                last_s = now_s
                if now_s - started_s > timeout_s:
                    return last_s - started_s, problem
            elif now_s - last_s >= STEADY_S:
                return last_s - started_s, None
            time.sleep(LOOK_S)
