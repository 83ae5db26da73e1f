"""A short sequence of faults under load: no answer may be wrong.

Bounds on drops are checked by `make faults` and `make chaos`: on a busy machine they depend on the
machine.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.catalogue import DEV, FAULTS
from tests.faults.fault_platform import fault_platform, impossible
from tests.faults.runner import Runner
from tests.marks import second_tier

pytestmark = second_tier


MINUTES = 0.5
LONGEST_S = 20
"""Longer faults are left to `make chaos`."""
SEED = 3946
"""With this seed the first faults empty a Redis shard, kill a broker and kill a replica."""


@pytest.mark.timeout(600)
def test_no_answer_is_wrong_whatever_is_killed(tmp_path: Path) -> None:
    faults = [
        fault
        for fault in FAULTS
        if fault.chaos
        and DEV in fault.stacks
        and fault.hold_s <= LONGEST_S
        and not (fault.cut_off or fault.small_disk or impossible(fault))
    ]
    with fault_platform(tmp_path / "platform", DEV, logs=tmp_path / "logs") as running:
        row = Runner(running, rate=100, seed=SEED).random(faults, MINUTES)
    assert row.name.endswith(f"seed {SEED}"), "the one that repeats the sequence"
    assert not row.wrong_profiles, json.dumps(row.wrong_answers)
    assert not row.wrong_aggregates, json.dumps(row.wrong_answers)
    assert not row.findings.wrong, asdict(row.findings)
    assert row.findings.acknowledged > 1000
    assert row.findings.profiles_asked > 1000
    assert row.findings.aggregates_asked > 10
    # How many fit depends on the machine: each waits until everything is healthy.
    assert row.injected
    assert not [one.problem for one in row.injected if one.problem]
