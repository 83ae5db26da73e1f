"""Processor time (user + system) by part, summed over the processes of the instance."""

from pathlib import Path
from typing import Final

import psutil

from setup.local.leftovers import marked_processes

PARTS: Final = (
    ("replica", "ServeReplica:case12"),
    ("actors", "ServeReplica:case3"),
    ("HAProxyManager", "HAProxyManager"),
    ("Python proxy", "ProxyActor"),
    ("HAProxy", "haproxy"),
    ("Redis", "redis-server"),
    ("Kafka", "kafka.Kafka"),
    ("MariaDB", "mariadbd"),
)
REST: Final = "rest of Ray"


def part_of(process: psutil.Process) -> str:
    """The part of a process, by its command line."""
    command = " ".join(process.cmdline())
    return next((part for part, mark in PARTS if mark in command), REST)


def processor_times(root: Path) -> dict[str, float]:
    """Seconds used so far by part, without processes that have ended."""
    seconds = dict.fromkeys((*(part for part, _ in PARTS), REST), 0.0)
    for process in marked_processes(root):
        try:
            times = process.cpu_times()
            seconds[part_of(process)] += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return seconds
