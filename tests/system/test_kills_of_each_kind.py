"""One short subscription, and a kill of each kind: late or refused perhaps, but never wrong."""

import json
from pathlib import Path
from typing import Final

from setup.local.platform import Platform
from tests.system.load import assert_never_wrong, killing, subscribe

KINDS: Final = ("case12", "case3:case3-1", "redis-2", "kafka-1", "mariadb-1")
EVERY_S: Final = 4.0
SECONDS: Final = 45
"""Half of it after the last kill, so that some of the few aggregate queries are answered."""


def test_no_answer_is_wrong_whatever_dies(platform: Platform, tmp_path: Path) -> None:
    # This platform promises aggregates that hold everything, so they need not be asked late.
    with killing([platform], KINDS, EVERY_S, once=True) as killed:
        report = subscribe(
            platform, tmp_path, "2022-03-01T00:00:00Z", 3, SECONDS, ("--aggregate-lag", "2")
        )
    assert set(killed) == set(KINDS)
    assert_never_wrong(report)
    tags = report["counters"]["tags"]
    # Nothing is acknowledged while the one broker starts again; most is before and after.
    assert tags["dropped"] < 0.5 * tags["sent"], json.dumps(report["counters"])
