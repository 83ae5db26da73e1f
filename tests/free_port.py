"""Finds free ports for processes that tests start."""

import socket

from setup.local.ports import HOST


def free_port() -> int:
    """A port without a listener at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
