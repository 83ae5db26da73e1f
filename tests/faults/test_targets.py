"""The fault runner finds the processes it means to kill."""

import re
import subprocess
import time
from contextlib import suppress

from setup.local.parts.kafka import LIBS
from setup.local.platform import Platform
from setup.local.tools import find_tool
from tests.faults.targets import NotFoundError, Targets
from tests.marks import second_tier

pytestmark = second_tier


def controller_by_kafkas_tool(platform: Platform) -> str:
    done = subprocess.run(
        (
            *(find_tool("java", "openjdk-17-jre-headless"), "-cp", f"{LIBS}/*"),
            "org.apache.kafka.tools.MetadataQuorumCommand",
            *("--bootstrap-server", platform.environment()["TAGS_KAFKA_BOOTSTRAP"]),
            *("describe", "--status"),
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = re.search(r"^LeaderId:\s*(\d+)", done.stdout, re.MULTILINE)
    assert found is not None, done.stderr
    return f"kafka-{found[1]}"


def test_the_controller_is_the_one_that_kafka_names(three_brokers: Platform) -> None:
    targets = Targets(three_brokers)
    first = targets.kafka_controller()
    assert first == controller_by_kafkas_tool(three_brokers)
    targets.part(first).kill()
    # The dead leader's file remains; then there is no leader until the election.
    deadline = time.monotonic() + 30
    second = first
    while second == first:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        with suppress(NotFoundError):
            second = targets.kafka_controller()
    assert second == controller_by_kafkas_tool(three_brokers)
