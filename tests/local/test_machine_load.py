"""Processor time of the platform and of other processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from setup.local.machine_load import Usage, report

BUSY = "import time\nwhile time.process_time() < 0.6: pass"


def test_time_of_a_child_that_ended_is_the_panels_and_not_others(tmp_path: Path) -> None:
    before = Usage.now(tmp_path)
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    used = Usage.now(tmp_path).since(before)
    assert 0.3 < used.children_s < 2
    assert used.platform_s == 0
    assert used.busy_s >= 0.9 * used.children_s


def test_time_of_a_strangers_process_is_others(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", BUSY.replace("0.6", "30")])
    try:
        before = Usage.now(tmp_path)
        time.sleep(1)
        used = Usage.now(tmp_path).since(before)
        assert used.others_s > 0.2
        assert 0.8 < used.clock_s < 3
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("used", "dropped", "words"),
    [
        (Usage(100, 60, 40, 15), False, ["2 cores", "0.40", "0.15", "0.05"]),
        (Usage(100, 160, 40, 15), True, ["took 1.05 of 2 cores", "late for that"]),
        (Usage(100, 160, 40, 15), False, ["took 1.05 of 2 cores while this ran."]),
        (Usage(100, 195, 160, 30), True, ["cores were full", "RATE="]),
        # Nothing to say of the machine: it had room, and was nobody else's.
        (Usage(100, 60, 40, 15), True, ["0.05 for others"]),
        (Usage(0, 0, 0, 0), True, ["2 cores"]),
    ],
)
def test_the_report_says_what_explains_a_drop(used: Usage, dropped: bool, words: list[str]) -> None:
    text = "\n".join(report(used, 2, dropped=dropped))
    for word in words:
        assert word in text
    assert ("late for that" in text) == (dropped and used.others_s > 30)
