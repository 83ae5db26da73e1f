"""Ports: fixed, moved, free, taken."""

import os
import socket
from pathlib import Path

import pytest

from setup.local.errors import PortTakenError, SetupError
from setup.local.ports import check_free, forget_fixed_ports, load_ports, store_ports


def test_a_variable_moves_a_fixed_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_ports(tmp_path)["http"] == 8000
    monkeypatch.setenv("HTTP_PORT", "8080")
    assert load_ports(tmp_path)["http"] == 8080
    monkeypatch.setenv("HTTP_PORT", "eighty")
    with pytest.raises(SetupError, match="HTTP_PORT=eighty"):
        load_ports(tmp_path)


def test_a_moved_port_is_remembered_until_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PORT", "8080")
    store_ports(tmp_path, load_ports(tmp_path))
    monkeypatch.delenv("HTTP_PORT")
    assert load_ports(tmp_path)["http"] == 8080
    forget_fixed_ports(tmp_path)
    assert load_ports(tmp_path)["http"] == 8000


def test_free_ports_lie_below_the_ephemeral_range_and_stay(tmp_path: Path) -> None:
    ports = load_ports(tmp_path, free=True)
    store_ports(tmp_path, ports)
    assert load_ports(tmp_path, free=True) == ports
    assert load_ports(tmp_path) == ports
    forget_fixed_ports(tmp_path)
    assert load_ports(tmp_path) == ports
    assert all(1024 < port < 32_768 for port in ports.first.values())


def test_a_taken_port_is_reported_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            PortTakenError, match=rf"port {port} is taken by pid {os.getpid()} .*HTTP_PORT="
        ):
            check_free([("http", port)])
    check_free([("http", port)])
