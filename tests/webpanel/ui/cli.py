"""Starts the panel's server on loopback."""

import argparse
import os
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from tests.webpanel.ui.api import make_app
from tests.webpanel.ui.monitor import Monitor
from tests.webpanel.ui.platform import TOKEN_VARIABLE

HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """Closes the event streams on shutdown: they never end by themselves."""

    def __init__(self, config: uvicorn.Config, monitor: Monitor) -> None:
        super().__init__(config)
        self._monitor = monitor

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._monitor.hub.close()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"Web Panel      http://{HOST}:{port}", flush=True)
            print(f"API docs       http://{HOST}:{port}/docs", flush=True)
            print("Ctrl+C stops it, and with it the subscription.", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="webpanel.ui",
        description="The Web Panel as a page, with its Subscription API.",
        epilog=f"{TOKEN_VARIABLE} in the environment is sent as bearer token.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8090, help="of the page; 0: any free one")
    parser.add_argument(
        "--target-host",
        default="127.0.0.1",
        help="unless a subscription names another",
    )
    parser.add_argument(
        "--target-port",
        type=int,
        default=8000,
        help="unless a subscription names another",
    )
    given = parser.parse_args(arguments)
    token = os.environ.get(TOKEN_VARIABLE, "")
    monitor = Monitor(given.target_host, given.target_port, token)
    config = uvicorn.Config(
        make_app(monitor), host=HOST, port=given.port, log_level="warning", access_log=False
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
        _Server(config, monitor).run()
