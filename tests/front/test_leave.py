"""A pod's HAProxy parts with its clients before its replica goes: setup/ingress/leave.py."""

import asyncio
import socket
from pathlib import Path

import pytest

from setup.ingress.leave import main
from tests.front.front_door import NONE, Replica, answer_on, exchange, haproxy
from tests.front.test_queues import TAG


async def test_each_answer_is_the_last_of_its_connection_and_all_else_goes_on(
    tmp_path: Path,
) -> None:
    replica = Replica()
    folder = tmp_path / "serve" / "node"
    folder.mkdir(parents=True)
    with replica.running():
        with haproxy(folder, {"http-case12": [replica.port]}) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(TAG)
            assert b"connection" not in (await answer_on(reader)).headers

            await asyncio.to_thread(main, "0", tmp_path / "serve")

            writer.write(TAG)
            last = await answer_on(reader)
            assert last.status == 204
            assert last.headers[b"connection"] == b"close"
            assert await answer_on(reader) == NONE
            writer.close()
            # A balancer may still lead here.
            assert (await exchange(port, TAG)).status == 204
            # Otherwise Serve would kill it.
            assert b"Uptime" in await asyncio.to_thread(admin, folder, b"show info\n")
        # A reload is another HAProxy with the same files.
        with haproxy(folder, {"http-case12": [replica.port]}) as port:
            assert (await exchange(port, TAG)).headers[b"connection"] == b"close"


def admin(folder: Path, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(folder / "admin.sock"))
        connection.sendall(command)
        return connection.recv(65536)


def test_a_haproxy_that_is_gone_does_not_hold_up_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "haproxy.cfg").touch()

    main("0", tmp_path)

    assert "No such file" in capsys.readouterr().err
