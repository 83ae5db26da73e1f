"""A node of the Redis Cluster."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import redis

from setup.local.folder import RunFolder
from setup.local.parts.part import Kind
from setup.local.ports import HOST
from setup.local.supervision import Program
from setup.local.templates import render
from setup.local.tools import find_tool


@dataclass(frozen=True)
class RedisServer:
    """One redis-server; ``index`` counts from 0."""

    kind: ClassVar = Kind.REDIS
    folder: RunFolder
    index: int
    port: int
    bus_port: int
    max_mb: int

    @property
    def name(self) -> str:
        """``redis-1`` and so on."""
        return f"redis-{self.index + 1}"

    @property
    def ports(self) -> dict[str, int]:
        """Clients' port, and the nodes' own."""
        return {"redis": self.port, "redis_bus": self.bus_port}

    @property
    def _config(self) -> Path:
        return self.folder.conf / f"{self.name}.conf"

    def files(self) -> dict[Path, str]:
        """Its redis.conf."""
        text = render(
            "redis.conf",
            port=self.port,
            bus_port=self.bus_port,
            data=self.folder.data(self.name),
            max_memory=f"{self.max_mb}mb",
        )
        return {self._config: text}

    def prepare(self) -> None:
        """Its data folder."""
        self.folder.data(self.name).mkdir(parents=True, exist_ok=True)

    def program(self) -> Program:
        """The server in the foreground."""
        server = find_tool("redis-server", "redis-server")
        return Program(self.name, (server, str(self._config)))

    def problem(self) -> str | None:
        """PING, then the cluster's state as this node sees it."""
        problem = self.unreachable()
        if problem:
            return problem
        with redis.Redis(HOST, self.port, socket_timeout=1.0) as client:
            info = client.cluster("INFO")
        state = info.get("cluster_state", "unknown")
        slots = info.get("cluster_slots_assigned", "0")
        if state != "ok" or slots != "16384":
            return f"cluster state {state}, {slots} of 16384 slots"
        return None

    def unreachable(self) -> str | None:
        """PING only: all that works before the cluster is formed."""
        try:
            with redis.Redis(HOST, self.port, socket_timeout=1.0) as client:
                client.ping()
        except redis.BusyLoadingError:
            return "loading its data"
        except redis.RedisError as error:
            return f"no answer ({error})"
        return None
