"""``python -m tests.kuberay.cluster``: a cluster to look at, until Ctrl-C; says how to reach it."""

import argparse
import signal

from tests.kuberay.cluster.cluster import cluster
from tests.kuberay.cluster.machine import missing

parser = argparse.ArgumentParser(prog="python -m tests.kuberay.cluster", description=__doc__)
parser.add_argument("--nodes", type=int, default=1)
given = parser.parse_args()
if lacks := missing():
    parser.exit(1, "".join(f"{line}\n" for line in lacks))
with cluster(given.nodes) as running:
    print(f"export KUBECONFIG={running.kubeconfig} PATH={running.binaries}:$PATH", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
