"""Toxiproxy between the applications and MariaDB, to cut the network.

Kafka and Redis Cluster give clients their own addresses, which bypass any proxy; for them a stopped
process (SIGSTOP) stands in: connections stay open and nothing answers.
"""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from setup.local.ports import HOST

_BUILD: Final = Path(__file__).parent / "toxiproxy" / "build.sh"
_NAME: Final = "mysql"
_CUT: Final = ("upstream", "downstream")


class NoProxyError(Exception):
    """Toxiproxy cannot be built here; the message has the reason."""


def build() -> Path:
    """Path of the server, which is built once. Raises NoProxyError."""
    if shutil.which("go") is None:
        raise NoProxyError("Go is not installed, and Toxiproxy is built from its modules")
    done = subprocess.run((_BUILD,), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoProxyError(f"Toxiproxy does not build: {done.stderr[-500:]}")
    return Path(done.stdout.strip())


class CutOff:
    """A proxy from one port to another, both on loopback."""

    def __init__(self, control_port: int, port: int, server_port: int) -> None:
        """``port`` leads to ``server_port``; ``control_port`` is Toxiproxy's own API."""
        self._control = f"http://{HOST}:{control_port}"
        self.port = port
        self._process = subprocess.Popen(
            (build(), "-host", HOST, "-port", str(control_port)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self._call("GET", "/version")
                break
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.close()
                    raise
                time.sleep(0.05)
        proxy = {"name": _NAME, "listen": f"{HOST}:{port}", "upstream": f"{HOST}:{server_port}"}
        self._call("POST", "/proxies", proxy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the proxy; its connections break."""
        self._process.terminate()
        self._process.wait()

    def cut(self) -> None:
        """Swallow all data in both directions; connections stay open."""
        for stream in _CUT:
            toxic = {"name": stream, "type": "timeout", "stream": stream}
            # Time-out 0: data are swallowed while the toxic exists.
            self._call("POST", f"/proxies/{_NAME}/toxics", {**toxic, "attributes": {"timeout": 0}})

    def mend(self) -> None:
        """Let data through again; connections that were cut are closed."""
        for stream in _CUT:
            self._call("DELETE", f"/proxies/{_NAME}/toxics/{stream}")

    def _call(self, method: str, path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._control}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
