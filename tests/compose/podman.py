"""Runs a Compose file's services in containers of Podman, as far as that file needs it.

For want of Docker, and as Podman's own health checks need systemd: here a service is healthy when
its check, run in it, says so. Containers, volumes and the network have the project's name;
published ports are free ones.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.free_port import free_port
from tests.waiting import wait_until

_LIMITS: Final = ("--ulimit=nofile=16384", "--ulimit=nproc=16384")
"""Enough. By default Podman asks for more than it has itself, which not every root may."""
_UP_S: Final = 300.0


class PodmanError(RuntimeError):
    """What Podman says."""


class Composition:
    """The services of one file; `up`, and `down`, which is safe at any time."""

    def __init__(self, file: Path, project: str, podman: Sequence[str]) -> None:
        """``podman``: the command, with its options."""
        self.ports: dict[int, int] = {}
        """Port of this machine by the one that the file publishes."""
        self._file, self.project, self._command = file, project, tuple(podman)
        self._services: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]

    def up(self) -> None:
        """Start each service once what it depends on is as it says.

        Raises:
            PodmanError: a container does not start, or one that should end fails.
            AssertionError: a service is not healthy in time.
        """
        self.podman("network", "create", self.project)
        left = dict(self._services)
        while left:
            name = next(
                name
                for name, service in left.items()
                if not set(service.get("depends_on", {})) & set(left)
            )
            service = left.pop(name)
            for other, how in service.get("depends_on", {}).items():
                self._wait(other, how["condition"])
            self._start(name, service)
        for name, service in self._services.items():
            if "healthcheck" in service:
                self._wait(name, "service_healthy")

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove all; data stay, except with ``volumes``."""
        for name, service in reversed(self._services.items()):
            seconds = service.get("stop_grace_period", "10s").removesuffix("s")
            self._run("stop", "--ignore", "--time", seconds, self._container(name))
            self._run("rm", "--force", "--ignore", self._container(name))
        self._run("network", "rm", "--force", self.project)
        if volumes:
            named = self.podman("volume", "ls", "--quiet").split()
            for volume in named:
                if volume.startswith(f"{self.project}_"):
                    self.podman("volume", "rm", volume)

    def podman(self, *arguments: str) -> str:
        """Standard output."""
        done = self._run(*arguments)
        if done.returncode:
            raise PodmanError(f"podman {' '.join(arguments[:2])}: {done.stderr[-2000:]}")
        return done.stdout

    def logs(self, service: str) -> str:
        """The end of what a service wrote."""
        done = self._run("logs", "--tail", "40", self._container(service))
        return done.stdout + done.stderr

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (*self._command, *arguments),
            capture_output=True,
            text=True,
            timeout=_UP_S,
            check=False,
        )

    def _container(self, service: str) -> str:
        return f"{self.project}-{service}"

    def _start(self, name: str, service: Mapping[str, Any]) -> None:
        options = ["--detach", "--name", self._container(name), "--pull=never"]
        options += _LIMITS
        if service.get("network_mode") == "none":
            options.append("--network=none")
        else:
            options += [f"--network={self.project}:alias={name}"]
        if "user" in service:
            options.append(f"--user={service['user']}")
        if service.get("init"):
            options.append("--init")
        if "shm_size" in service:
            options.append(f"--shm-size={service['shm_size']}")
        for file in service.get("env_file", ()):
            options.append(f"--env-file={self._file.parent / file}")
        for key, value in service.get("environment", {}).items():
            options.append(f"--env={key}={value}")
        for volume in service.get("volumes", ()):
            source, _, rest = volume.partition(":")
            here = source.startswith(".")
            source = str((self._file.parent / source).resolve()) if here else self._volume(source)
            options.append(f"--volume={source}:{rest}")
        for port in service.get("ports", ()):
            address, published, inside = port.split(":")
            self.ports[int(published)] = free_port()
            options.append(f"--publish={address}:{self.ports[int(published)]}:{inside}")
        words = [str(word).replace("$$", "$") for word in service.get("command", ())]
        self.podman("run", *options, image(service["image"]), *words)

    def _volume(self, name: str) -> str:
        return f"{self.project}_{name}"

    def _wait(self, name: str, condition: str) -> None:
        if condition == "service_completed_successfully":
            status = self.podman("wait", self._container(name)).strip()
            if status != "0":
                raise PodmanError(f"{name} ended with {status}: {self.logs(name)}")
            return
        assert condition == "service_healthy", condition
        check = [
            str(word).replace("$$", "$") for word in self._services[name]["healthcheck"]["test"]
        ]
        words = check[1:] if check[0] == "CMD" else ["/bin/sh", "-c", *check[1:]]

        def healthy() -> bool:
            try:
                self.podman("exec", self._container(name), *words)
            except PodmanError:
                return False
            return True

        try:
            wait_until(f"{name} to be healthy", healthy, timeout_s=_UP_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs(name)}") from None


def image(name: str) -> str:
    """With the registry that Docker looks in by default."""
    return name if "/" in name else f"docker.io/library/{name}"
