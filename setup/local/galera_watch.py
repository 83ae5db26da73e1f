"""Tells HAProxy which Galera nodes may be written to; supervisord runs it as mariadb-watch.

``GET /`` at a node's own port: 200 when it is synced with a majority, else 503. A plain check of
the MySQL protocol would not do: a node that lost its majority still takes connections.
"""

import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from setup.local.folder import RunFolder
from setup.local.galera_node import NodeSession
from setup.local.ports import HOST


class _Answer(BaseHTTPRequestHandler):
    """One check; the server asks one node, over one connection."""

    server: "NodeServer"

    def do_GET(self) -> None:
        state = self.server.session.state()
        body = (state.comment if state else "no answer").encode()
        self.send_response(200 if state and state.ready else 503)
        self.send_header("Content-Length", str(len(body)))
        # HAProxy reads the status and disconnects.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: HAProxy logs every change."""


class NodeServer(HTTPServer):
    """The port of one node."""

    def __init__(self, port: int, session: NodeSession) -> None:
        """Listen at once."""
        self.session = session
        super().__init__((HOST, port), _Answer)


def run(root: Path, first_port: int, nodes: int) -> None:
    """Serve one port per node, each in a thread of its own, until killed."""
    sockets = RunFolder(root).sockets
    threads = []
    for index in range(nodes):
        session = NodeSession(sockets / f"mariadb-{index + 1}.sock", timeout_s=0.8)
        server = NodeServer(first_port + index, session)
        threads.append(threading.Thread(target=server.serve_forever, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
