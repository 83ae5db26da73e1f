"""A process that is cut off receives nothing, keeps its connections, and resumes afterwards."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.faults.cut_process import CutProcess
from tests.marks import second_tier

pytestmark = second_tier

CLIENT = """
import socket, sys, time

connections = {}
while True:
    for port in map(int, sys.argv[1:]):
        try:
            if port not in connections:
                connections[port] = socket.create_connection(("127.0.0.1", port), timeout=0.3)
            connections[port].sendall(b"x")
            answer = connections[port].recv(100)
        except TimeoutError:
            # Once more by a new connection, which is no better.
            connections.pop(port, None)
            answer = b""
        print(port, len(answer), flush=True)
    time.sleep(0.02)
"""


def echo(listener: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while data := connection.recv(100):
                connection.sendall(data)

    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    with closing(first), closing(second):
        for listener in (first, second):
            threading.Thread(target=echo, args=(listener,), daemon=True).start()
        yield first.getsockname()[1], second.getsockname()[1]


class Client:
    """Polls both ports; counts answers of each."""

    def __init__(self, ports: tuple[int, int]) -> None:
        self.answers = dict.fromkeys(ports, 0)
        self.process = subprocess.Popen(
            (sys.executable, "-c", CLIENT, *map(str, ports)), stdout=subprocess.PIPE, text=True
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def close(self) -> None:
        """Kill the process and read its remaining output."""
        with self.process:
            self.process.kill()
            self._reading.join()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            port, length = map(int, line.split())
            self.answers[port] += length > 0

    def more(self, port: int, seconds: float) -> int:
        """Number of answers of ``port`` from now on."""
        before = self.answers[port]
        time.sleep(seconds)
        return self.answers[port] - before


def test_one_port_is_cut_off_and_no_other(ports: tuple[int, int]) -> None:
    cut_port, free_port = ports
    client = Client(ports)
    try:
        while not all(client.answers.values()):
            time.sleep(0.01)
        cut = CutProcess(client.process.pid, {cut_port})
        time.sleep(0.1)
        assert client.more(free_port, 2.0) > 0
        before = cut.connections
        # A new connection may get one answer before the poll finds it.
        assert client.more(cut_port, 2.0) <= cut.connections - before + 1
        cut.mend()
        time.sleep(0.5)
        assert client.more(cut_port, 1.0) > 5
        assert client.more(free_port, 1.0) > 5
    finally:
        client.close()
