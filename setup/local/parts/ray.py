"""The Ray head node with both Serve applications: one program for supervisord."""

import hashlib
import json
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from serve_app import priority
from setup.local.errors import PartFailedError, SetupError
from setup.local.folder import CHECKOUT, RunFolder
from setup.local.http_get import fetch
from setup.local.parts.part import Kind
from setup.local.ports import HOST, Ports
from setup.local.stacks import Stack
from setup.local.supervision import Program
from setup.local.templates import render

ADMIN_SOCKET: Final = "admin.sock"
SERVE_CONFIG: Final = CHECKOUT / "setup" / "serve_config.yaml"

_CODE: Final = ("serve_app/**/*.py", "serve_app/**/*.html", "actors/**/*.py")
"""Both applications: their files' hash is the version that Serve compares."""
_INSIDE: Final = ("ray_", "haproxy_", "fallback_")
"""Prefixes of the ports that only Ray's own processes use."""


@dataclass(frozen=True)
class RayHead:
    """GCS, raylet, dashboard, Serve's controller and HAProxy, and the replicas."""

    kind: ClassVar = Kind.RAY
    folder: RunFolder
    stack: Stack
    all_ports: Ports
    serve_config: Path
    client_environment: Callable[[], dict[str, str]]
    """``TAGS_…`` variables that lead the applications to the stores."""

    @property
    def name(self) -> str:
        """``ray``: there is one."""
        return "ray"

    @property
    def ports(self) -> dict[str, int]:
        """The API's and the dashboard's ports, then single ones inside Ray.

        Not the rows for workers and replicas: Ray takes what is free of them.
        """
        inside = [name for name in self.all_ports.first if name.startswith(_INSIDE)]
        names = ("http", "dashboard", *inside)
        return {name: self.all_ports[name] for name in names if name != "ray_workers"}

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://{HOST}:{self.all_ports['http']}"

    @property
    def dashboard_url(self) -> str:
        """Of Ray's dashboard, which has the Serve REST API."""
        return f"http://{HOST}:{self.all_ports['dashboard']}"

    @property
    def temp_dir(self) -> Path:
        """Ray's sessions: sockets and logs."""
        return self.folder.short / "ray"

    @property
    def _environment_file(self) -> Path:
        return self.folder.conf / "ray.env"

    @property
    def _haproxy_folder(self) -> Path:
        return self.folder.short / "h"

    @property
    def stagger_file(self) -> Path:
        """While this file exists, replicas start one after the other (``staggered_start``)."""
        return self.folder.short / "stagger"

    @property
    def serve_file(self) -> Path:
        """The Serve config as deployed here."""
        return self.folder.conf / "serve.yaml"

    def files(self) -> dict[Path, str]:
        """Environment of Ray."""
        ports = {f"{name}_port": port for name, port in self.all_ports.first.items()}
        environment = render(
            "ray.env",
            haproxy=self._haproxy_folder,
            admin_socket=ADMIN_SOCKET,
            python=self.folder.python,
            checkout=CHECKOUT,
            replica_http_port_last=self.all_ports.last("replica_http"),
            replica_grpc_port_last=self.all_ports.last("replica_grpc"),
            **ports,
        )
        # Appended to the file: supervisord restarts this part by itself, with nothing but the file.
        environment += "".join(f"{k}={v}\n" for k, v in self.client_environment().items())
        return {self._environment_file: environment}

    def serve_text(self) -> str:
        """The Serve config with this instance's address and hashes of the code as its versions.

        Not among `files`: a change of it is deployed, and nothing has to be restarted.
        """
        config = yaml.safe_load(self.serve_config.read_text())
        config.setdefault("http_options", {}).update(host=HOST, port=self.all_ports["http"])
        config.setdefault("logging_config", {})
        for place in (config, *config["applications"]):
            if "logging_config" in place:
                place["logging_config"]["encoding"] = self._log_encoding()
        code, may_come_back = _hash_of(*_CODE), priority.may_come_back()
        for application in config["applications"]:
            if application.get("args", {}).get("version") == "":
                module = application["import_path"].partition(":")[0].replace(".", "/")
                application["args"]["version"] = _hash_of(f"{module}.py")
            for deployment in application.get("deployments", ()):
                runtime_env = deployment.get("ray_actor_options", {}).get("runtime_env", {})
                variables = runtime_env.get("env_vars", {})
                if variables.get("CODE_VERSION") == "":
                    variables["CODE_VERSION"] = code
            staggered_start = CHECKOUT / "setup" / "local" / "staggered_start"
            start = shlex.join((str(staggered_start), str(self.stagger_file), self.folder.python))
            if may_come_back:
                start = f"{' '.join(priority.at(priority.START))} {start}"
            application["runtime_env"] = {"py_executable": start}
        text: str = yaml.safe_dump(config, sort_keys=False)
        return text

    def _log_encoding(self) -> str:
        """Serve's name of it; ``TAGS_LOG_FORMAT=json`` asks for a JSON object a line."""
        chosen = {**os.environ, **self.client_environment()}.get("TAGS_LOG_FORMAT", "text")
        if chosen not in ("text", "json"):
            raise SetupError(f"TAGS_LOG_FORMAT={chosen}: not text or json")
        return chosen.upper()

    def environment(self) -> dict[str, str]:
        """The environment file, read."""
        lines = self._environment_file.read_text().splitlines()
        pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
        return {name: value for name, value in pairs}

    def prepare(self) -> None:
        """HAProxy's folder, emptied of former nodes' files."""
        shutil.rmtree(self._haproxy_folder, ignore_errors=True)
        self._haproxy_folder.mkdir()

    def program(self) -> Program:
        """The script that starts Ray and deploys; it ends Ray's processes itself."""
        command = (sys.executable, "-m", "setup.local.ray_head", str(self.folder.root))
        return Program(self.name, (*command, self.stack.name), stop_wait_s=40, stop_group=False)

    def start_command(self) -> tuple[str, ...]:
        """``ray start`` with every port given, so that instances can run side by side."""
        ports = self.all_ports
        options = {
            "node-ip-address": HOST,
            "port": ports["ray_gcs"],
            "node-manager-port": ports["ray_node_manager"],
            "object-manager-port": ports["ray_object_manager"],
            "runtime-env-agent-port": ports["ray_runtime_env_agent"],
            "dashboard-agent-listen-port": ports["ray_agent_http"],
            "dashboard-agent-grpc-port": ports["ray_agent_grpc"],
            "metrics-export-port": ports["ray_metrics"],
            "ray-client-server-port": ports["ray_client"],
            "min-worker-port": ports["ray_workers"],
            "max-worker-port": ports.last("ray_workers"),
            "dashboard-host": HOST,
            "dashboard-port": ports["dashboard"],
            "temp-dir": self.temp_dir,
            "num-cpus": self.stack.ray_cpus,
            "object-store-memory": self.stack.ray_object_store_bytes,
            # No driver prints workers' output here.
            "include-log-monitor": "false",
        }
        return (
            self.folder.python,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--head",
            "--block",
            "--disable-usage-stats",
            *(f"--{name}={value}" for name, value in options.items()),
        )

    def deploy_command(self) -> tuple[str, ...]:
        """``serve deploy`` of the rendered config, at low priority."""
        command = (
            *(self.folder.python, "-m", "ray.serve.scripts", "deploy"),
            *("--address", self.dashboard_url, str(self.serve_file)),
        )
        return (*priority.at(priority.START), *command)

    def applications(self) -> dict[str, Any]:
        """Serve's own report, by application; raises OSError when it does not answer."""
        answer = json.loads(fetch(f"{self.dashboard_url}/api/serve/applications/"))
        applications: dict[str, Any] = answer["applications"]
        return applications

    def crash(self) -> str | None:
        """HAProxy's messages if it ended at its start; Serve only retries and waits.

        None while one answers, or none was started yet.
        """
        logs = sorted(
            self._haproxy_folder.glob("*/*.stderr.log"), key=lambda file: file.stat().st_mtime
        )
        if not logs or _accepts(logs[-1].parent / ADMIN_SOCKET):
            return None
        said = logs[-1].read_text(errors="replace").strip()
        # It prints notices and warnings while it starts, which takes a while on a busy machine. A
        # line without a level comes from the shell, which found no HAProxy.
        harmless = ("[NOTICE]", "[WARNING]", " ")
        ended = any(line and not line.startswith(harmless) for line in said.splitlines())
        return f"HAProxy: {said}" if ended else None

    def problem(self) -> str | None:
        """Every application RUNNING, and the ingress answers for each of them.

        PartFailedError when a deployment failed, as waiting does not help then.
        """
        if not self.serve_file.exists():
            return "never started"
        wanted = {
            application["name"]: application["route_prefix"]
            for application in yaml.safe_load(self.serve_file.read_text())["applications"]
        }
        try:
            there = self.applications()
        except (OSError, ValueError) as error:
            return f"the dashboard does not answer ({error})"
        for name in wanted:
            report = there.get(name, {"status": "not deployed", "message": ""})
            if report["status"] == "DEPLOY_FAILED":
                raise PartFailedError(f"Serve application {name} failed:\n{report['message']}")
            if report["status"] != "RUNNING":
                return f"Serve application {name} is {report['status']}"
        try:
            routes = json.loads(fetch(f"{self.url}/-/routes"))
        except (OSError, ValueError) as error:
            return f"the ingress does not answer ({error})"
        missing = set(wanted.values()) - set(routes)
        return f"the ingress has no route {sorted(missing)}" if missing else None


def _hash_of(*patterns: str) -> str:
    """Of files of the checkout."""
    code = hashlib.sha256()
    for pattern in patterns:
        for file in sorted(CHECKOUT.glob(pattern)):
            code.update(file.read_bytes())
    return code.hexdigest()[:12]


def _accepts(path: Path) -> bool:
    """Whether a process listens on this unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
