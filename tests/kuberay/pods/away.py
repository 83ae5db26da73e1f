"""A host that is away for long, under load: what it may cost once the cluster has got over it."""

import time

from tests.faults.running_load import Sample
from tests.kuberay.pods.client import Client
from tests.kuberay.pods.disturbances import Table, row_of
from tests.kuberay.pods.kube import Kube
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.quiet import (
    drops_over_time,
    last_drop_s,
    wait_until_quiet,
    what_the_api_says,
)

_QUIET_S = 20.0


def stays_away(
    name: str,
    away_s: float,
    load: Load,
    kube: Kube,
    client: Client,
    table: Table,
    *,
    before: Sample,
    began_s: float,
    timeout_s: float,
) -> None:
    """Wait until nothing is dropped, and on until ``away_s`` after ``began_s``; a row of it.

    ``before``: the load's sample when it began; ``timeout_s``: until nothing is dropped.

    Raises:
        AssertionError: an answer was wrong, or requests went on being dropped.
    """
    wait_until_quiet(load, kube, client, seconds=_QUIET_S, timeout_s=timeout_s)
    settled = load.samples[-1]
    time.sleep(max(0.0, away_s - (load.now_s - began_s)))
    late = load.samples[-1]
    normal_s = last_drop_s([one for one in load.samples if one.at_s <= settled.at_s], began_s)
    row = row_of(name, load, before, late, normal_s=normal_s, ready_s=away_s)
    print(row, flush=True)
    table.rows.append(row)
    assert late.wrong == before.wrong
    # A worker that ended itself would cost a third of the requests. Late by 200 ms some may be, for
    # the sake of whatever else a small machine does in a quarter of an hour.
    told = "\n".join((*drops_over_time(load.samples, settled.at_s), *what_the_api_says(client)))
    assert late.refused - settled.refused <= 10, told
    assert late.timed_out - settled.timed_out <= (late.sent - settled.sent) / 100, told
