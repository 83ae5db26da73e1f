"""A stand-in for what the operator talks to over HTTP: Ray's dashboard and the pods' proxies.

The operator reaches both by names and addresses inside a cluster. It obeys HTTP_PROXY, so this is a
proxy that answers by itself: a deployed config is RUNNING at once, and every proxy is healthy.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ray.serve.schema import ServeDeploySchema


@dataclass
class Dashboard:
    """What was asked of it."""

    url: str = ""
    deployed: list[dict[str, Any]] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def report(self) -> dict[str, Any]:
        """The answer to GET /api/serve/applications/."""
        applications = self.deployed[-1]["applications"] if self.deployed else []
        return {
            "applications": {
                application["name"]: {
                    "name": application["name"],
                    "route_prefix": application["route_prefix"],
                    "docs_path": None,
                    "status": "RUNNING",
                    "message": "",
                    "last_deployed_time_s": 1.0,
                    "deployments": {
                        "d": {"name": "d", "status": "HEALTHY", "message": "", "replicas": []}
                    },
                }
                for application in applications
            }
        }


@contextmanager
def stand_in_dashboard() -> Iterator[Dashboard]:
    """Answers on loopback until the block ends."""
    dashboard = Dashboard()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Serve's report, or a proxy's health."""
            path = self._path()
            if path.startswith("/api/serve/applications"):
                self._answer(json.dumps(dashboard.report()).encode())
            else:
                self._answer(b"success")

        def do_PUT(self) -> None:
            """A deployment, taken if Ray itself would take it."""
            self._path()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            ServeDeploySchema.model_validate(body)
            dashboard.deployed.append(body)
            self._answer(b"{}")

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

        def _path(self) -> str:
            target = urlsplit(self.path)
            dashboard.hosts.add(f"{target.hostname}:{target.port}")
            return target.path

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    dashboard.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield dashboard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
