"""A port for a process that a test starts itself."""

import socket

from setup.local.ports import HOST


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
