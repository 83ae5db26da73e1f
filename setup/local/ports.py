"""Which TCP ports the parts listen on: fixed ones for people, free ones for tests."""

import json
import os
import random
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from setup.local.errors import PortTakenError, SetupError

HOST: Final = "127.0.0.1"

# Name -> (first port of a fixed set, how many in a row).
_TABLE: Final = {
    "http": (8000, 1),
    "dashboard": (8265, 1),
    "redis": (7101, 6),
    "redis_bus": (7111, 6),
    "kafka": (7192, 3),
    "kafka_controller": (7292, 3),
    "mariadb": (7306, 3),
    "mariadb_address": (7309, 1),
    "mariadb_check": (7310, 3),
    "galera": (7313, 3),
    "galera_ist": (7316, 3),
    "galera_sst": (7319, 3),
    "ray_gcs": (7379, 1),
    "ray_node_manager": (7380, 1),
    "ray_object_manager": (7381, 1),
    "ray_runtime_env_agent": (7382, 1),
    "ray_agent_http": (7383, 1),
    "ray_agent_grpc": (7384, 1),
    "ray_metrics": (7385, 1),
    "ray_client": (7386, 1),
    "haproxy_metrics": (7387, 1),
    "haproxy_stats": (7388, 1),
    "fallback_http": (7389, 1),
    "fallback_grpc": (7390, 1),
    "prometheus": (7391, 1),
    "replica_http": (7400, 40),
    "replica_grpc": (7440, 40),
    "ray_workers": (7500, 120),
}
_TOTAL: Final = sum(count for _, count in _TABLE.values())

# Free sets come from here: above the usual servers, below Linux's ephemeral range (32768 and up),
# so that no outgoing connection takes a port between choosing it and listening on it.
# Test runs side by side narrow it, each to a part of its own (tests/conftest.py).
FREE_RANGE = range(10_240, 32_000)
_STORED: Final = "ports.json"


@dataclass(frozen=True)
class Ports:
    """First port of each name; parts of the same name count up from it."""

    first: dict[str, int]
    free: bool = False
    """Whether these ports were picked because they were unused."""

    def __getitem__(self, name: str) -> int:
        return self.first[name]

    def last(self, name: str) -> int:
        """Last port of a name's row."""
        return self.first[name] + _TABLE[name][1] - 1


def load_ports(root: Path, *, free: bool = False) -> Ports:
    """The ports of the instance in this run folder.

    Those in use if it has been started (`store_ports`), else ports that nothing listens on, or
    fixed ones. ``HTTP_PORT=8080`` and the like in the environment move a fixed port. SetupError
    for a value that is no port.
    """
    stored = _stored(root)
    if stored and (stored.free or not free):
        return stored if stored.free else _moved(stored)
    if free:
        return _find_free()
    return _moved(Ports({name: first for name, (first, _) in _TABLE.items()}))


def store_ports(root: Path, ports: Ports) -> None:
    """Remember them, for commands that come later and for restarts."""
    (root / _STORED).write_text(json.dumps({"free": ports.free, "first": ports.first}, indent=1))


def forget_fixed_ports(root: Path) -> None:
    """The next start uses the defaults again; free ports stay what they are."""
    stored = _stored(root)
    if stored and not stored.free:
        (root / _STORED).unlink()


def _stored(root: Path) -> Ports | None:
    try:
        stored = json.loads((root / _STORED).read_text())
    except (OSError, ValueError):
        return None
    # Written by another version of this table: ignored.
    return Ports(**stored) if stored.get("first", {}).keys() == _TABLE.keys() else None


def _moved(ports: Ports) -> Ports:
    first = dict(ports.first)
    for name in first:
        variable = f"{name.upper()}_PORT"
        text = os.environ.get(variable)
        if text is None:
            continue
        if not text.isdecimal() or not 1024 <= int(text) <= 65_535:
            raise SetupError(f"{variable}={text}: not a port (1024 to 65535)")
        first[name] = int(text)
    return Ports(first)


def _find_free() -> Ports:
    for _ in range(200):
        base = random.randrange(FREE_RANGE.start, FREE_RANGE.stop - _TOTAL)
        if all(_can_listen(port) for port in range(base, base + _TOTAL)):
            return Ports(dict(_rows(base)), free=True)
    raise SetupError(f"found no {_TOTAL} free ports in a row in {FREE_RANGE}")


def _rows(base: int) -> Iterator[tuple[str, int]]:
    for name, (_, count) in _TABLE.items():
        yield name, base
        base += count


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free, one that is listened on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def check_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raise PortTakenError naming each taken port and its holder; takes (name, port) pairs."""
    # Only listeners count: a connection in TIME_WAIT is no reason to give up.
    holders = {
        connection.laddr.port: connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    }
    taken = [
        f"port {port} is taken by {_describe(holders[port])}; stop it or set {name.upper()}_PORT="
        for name, port in ports
        if port in holders
    ]
    if taken:
        advice = "\n`make down` stops our own instances." if "our instance" in taken[0] else ""
        raise PortTakenError("\n".join(taken) + advice)


def _describe(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        instance = process.environ().get("TAGS_INSTANCE")
        ours = f" of our instance {instance}" if instance else ""
        return f"pid {pid} ({process.name()}{ours})"
    except psutil.Error:
        return f"pid {pid}"
