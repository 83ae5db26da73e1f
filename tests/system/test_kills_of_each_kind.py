"""A short subscription with a kill of each kind: answers may be late, but not wrong."""

import json
from pathlib import Path
from typing import Final

import httpx

from setup.local.platform import Platform
from tests.system.load import killing, subscribe
from tests.waiting import wait_until

KINDS: Final = ("case12", "case3:case3-1", "redis-2", "kafka-1", "mariadb-1")
EVERY_S: Final = 4.0
SECONDS: Final = 40
"""Half of it after the last kill, so that there are answers again."""
QUERIES: Final = (
    "/user_profiles/nobody?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00",
    "/aggregates?time_range=2022-03-01T00:00:00_2022-03-01T00:01:00&action=VIEW&aggregates=COUNT",
)


def test_no_answer_is_wrong_whatever_dies(platform: Platform, tmp_path: Path) -> None:
    # This platform promises aggregates that hold everything, so they need not be asked late.
    options = ("--aggregate-lag", "2")
    with killing([platform], KINDS, EVERY_S, once=True) as killed:
        report = subscribe(platform, tmp_path, "2022-03-01T00:00:00Z", 3, SECONDS, options)
    assert killed == list(KINDS)
    counters = report["counters"]
    assert counters["wrong"] == 0, json.dumps(report["wrong_answers"][:3])
    assert counters["tags"]["status_2xx"] > 0, json.dumps(counters)
    assert counters["profile_answers"]["ok"] > 0, json.dumps(counters)
    # The number of drops depends on the machine. In the end everything is answered again.
    with httpx.Client(base_url=platform.ray.url, timeout=70) as http:
        for query in QUERIES:

            def answered(query: str = query) -> bool:
                return http.post(query).status_code == 200

            wait_until(query, answered)
