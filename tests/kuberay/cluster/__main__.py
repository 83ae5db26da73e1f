"""``python -m tests.kuberay.cluster``: a cluster to look at, until Ctrl-C; says how to reach it."""

import signal

import typer

from setup.command_line import run_main
from tests.kuberay.cluster.cluster import cluster
from tests.kuberay.cluster.machine import missing


def main(nodes: int = 1) -> int:
    """Run it in the foreground; exit status 1 where this machine cannot."""
    if lacks := missing():
        typer.echo("\n".join(lacks), err=True)
        return 1
    with cluster(nodes) as running:
        print(f"export KUBECONFIG={running.kubeconfig} PATH={running.binaries}:$PATH", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    run_main(main, __doc__)
