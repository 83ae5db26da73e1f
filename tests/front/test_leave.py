"""A pod's HAProxy parts with its clients before its replica goes: setup/ingress/leave."""

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from setup.local.folder import CHECKOUT
from tests.front.front_door import NONE, Replica, answer_on, haproxy, listens
from tests.front.test_queues import TAG
from tests.waiting import wait_until

LEAVE: Final = CHECKOUT / "setup" / "ingress" / "leave"
BEFORE_S: Final = 1
AFTER_S: Final = 30
# It signals each HAProxy that it sees: here the one that is in a PID namespace with it.
NAMESPACE: Final = ("unshare", "--user", "--map-root-user", "--pid", "--mount-proc", "--fork")


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A FIFO; who writes to it has `LEAVE` begin."""
    path = tmp_path / "told"
    os.mkfifo(path)
    return path


@pytest.fixture
def container(told: Path) -> Sequence[str]:
    """A command that runs another one, and `LEAVE` beside it."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may make no PID namespace")
    leave = f'"$@" & read -r _ < {told}; exec {LEAVE} {BEFORE_S} {AFTER_S}'
    return (*NAMESPACE, "--kill-child", "sh", "-c", leave, "sh")


async def test_kept_connections_end_with_an_answer_and_others_find_nobody(
    tmp_path: Path, told: Path, container: Sequence[str]
) -> None:
    replica = Replica()
    with replica.running(), haproxy(tmp_path, {"http-case12": [replica.port]}, container) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(TAG)
        kept = await answer_on(reader)
        assert kept.status == 204
        assert b"connection" not in kept.headers

        began_s = time.monotonic()
        await asyncio.to_thread(told.write_text, "\n")
        await asyncio.to_thread(wait_until, "an end", lambda: not listens(port), 20)
        assert time.monotonic() - began_s >= BEFORE_S

        writer.write(TAG)
        last = await answer_on(reader)
        assert last.status == 204
        assert last.headers[b"connection"] == b"close"
        assert await answer_on(reader) == NONE
        writer.close()
