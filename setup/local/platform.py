"""One instance of the platform: bring it up, take it down, say how to reach it."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from serve_app.core.settings import Settings
from setup.local.catalogue import Catalogue
from setup.local.errors import PartFailedError, PortTakenError, SetupError
from setup.local.folder import CHECKOUT, RunFolder
from setup.local.leftovers import marked_processes, sweep
from setup.local.parts.part import Kind, Part
from setup.local.parts.prometheus import Prometheus
from setup.local.parts.ray import SERVE_CONFIG, RayHead
from setup.local.ports import Ports, check_free, forget_fixed_ports, load_ports, store_ports
from setup.local.stacks import Stack, stack_named
from setup.local.supervision import Supervisor, clean_environment
from setup.local.tools import run_tool
from setup.local.waiting import tail, wait_for
from setup.redis_cluster import ClusterError, form

STORES: Final = (Kind.REDIS, Kind.KAFKA, Kind.MARIADB)
EVERYTHING: Final = (*STORES, Kind.RAY)
METRICS: Final = Kind.PROMETHEUS
"""A kind that is started only when asked for."""

# A start takes half a minute; on a busy machine, minutes.
_START_TIMEOUT_S: Final = 240.0
# A part that is dead this long (s) after it was told to start is given up on, with its log.
_CRASH_PATIENCE_S: Final = 8.0
# Until the ports of a killed server are free.
_PORT_PATIENCE_S: Final = 5.0


class Platform:
    """The servers of one run folder.

    >>> with Platform(Path("/tmp/x"), free=True) as platform:  # doctest: +SKIP
    ...     platform.up(STORES)
    ...     os.environ.update(platform.environment())
    """

    def __init__(
        self,
        root: Path,
        *,
        stack: str = "dev",
        free: bool = False,
        extra_environment: Mapping[str, str] | None = None,
        serve_config: Path = SERVE_CONFIG,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Starts nothing: call `up`.

        ``free`` picks unused ports instead of the fixed ones. ``extra_environment`` is passed to
        Ray and so to both applications. ``say`` gets a line for each step.
        """
        self.folder = RunFolder(root.absolute())
        self.stack: Stack = stack_named(stack)
        self.ports: Ports = load_ports(self.folder.root, free=free)
        self._say = say
        self._catalogue = Catalogue(
            self.folder, self.stack, self.ports, serve_config, extra_environment or {}
        )
        self.supervisor = Supervisor(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def http_port(self) -> int:
        """Of the API."""
        return self.ports["http"]

    @property
    def ray(self) -> RayHead:
        """The Ray head node."""
        return self._catalogue.ray

    @property
    def prometheus(self) -> Prometheus:
        """The Prometheus server, whether it runs or not."""
        return self._catalogue.prometheus

    @property
    def parts(self) -> list[Part]:
        """Every part of the stack, running or not; without Prometheus, which is optional."""
        return self._catalogue.parts

    @property
    def _with_extras(self) -> list[Part]:
        return [*self._catalogue.parts, *self._catalogue.extras]

    def environment(self) -> dict[str, str]:
        """``TAGS_…`` variables that make `serve_app.core.settings.Settings` point here."""
        return self._catalogue.client_environment()

    def settings(self) -> Settings:
        """The same as a Settings object, whatever the environment of this process."""
        values = {
            name.removeprefix("TAGS_").lower(): value
            for name, value in self._catalogue.client_environment().items()
        }
        # The environment may hold settings of the actors, too.
        own = {name: value for name, value in values.items() if name in Settings.model_fields}
        return Settings.model_validate({**Settings().model_dump(), **own})

    def up(self, kinds: Iterable[str] = EVERYTHING) -> None:
        """Start the parts of these kinds, ready to be used; quick when they already are.

        Raises SetupError with a message for a person.
        """
        wanted = [part for part in self._with_extras if part.kind in set(kinds)]
        self.folder.create()
        self._check_disk()
        changed = self._write_files()
        if not self.supervisor.running() or changed:
            self.down()
            self.folder.create()
            self._check_ports(wanted)
            store_ports(self.folder.root, self.ports)
            self.supervisor.start({**clean_environment(), "PYTHONPATH": str(CHECKOUT)})
        else:
            states = self.supervisor.states()
            self._check_ports([part for part in wanted if not states[part.name].pid])
        stores = [part for part in wanted if part.kind in STORES]
        self._start(stores)
        self._set_up_stores({part.kind for part in stores})
        if self.ray in wanted:
            self._start_ray()
        if self.prometheus in wanted:
            self._start([self.prometheus])

    def deploy(self) -> None:
        """Deploy the Serve config to the Ray that runs; returns when the ingress serves it."""
        self._say("deploying")
        self._write({self.ray.serve_file: self.ray.serve_text()})
        run_tool(
            "serve deploy",
            self.ray.deploy_command(),
            self.folder.log(self.ray.name),
            timeout_s=60,
            environment=clean_environment(),
        )
        self._wait_until_up(self.ray)

    def down(self) -> None:
        """Stop everything of this run folder and leave no process behind."""
        if self.supervisor.running():
            self._say("stopping")
            # The applications first: they still write to the stores.
            for kinds in ({*EVERYTHING, METRICS} - set(STORES), set(STORES)):
                names = [part.name for part in self._with_extras if part.kind in kinds]
                self.supervisor.stop_programs(names)
            self.supervisor.shutdown()
        ended = sweep(self.folder.root)
        if ended:
            self._say(f"ended {ended} processes that were left over")
        forget_fixed_ports(self.folder.root)
        self.folder.remove_link()

    def clean_data(self) -> None:
        """Remove the run folder; SetupError while something of it runs."""
        running = marked_processes(self.folder.root)
        if running:
            raise SetupError(
                f"pid {running[0].pid} still uses {self.folder.root}: `make down` first"
            )
        self.folder.remove_link()
        shutil.rmtree(self.folder.root, ignore_errors=True)

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.folder.root).free
        if free < 2 * 1024**3:
            raise SetupError(
                f"{free // 1024**2} MB left on the disk of {self.folder.root}: Kafka, MariaDB and "
                "Redis need 2 GB to start. Remove old data with `make clean-data`."
            )

    def _write_files(self) -> bool:
        """Write all settings files; whether one of them was there and differs now."""
        programs = [part.program() for part in self._with_extras]
        files = {self.supervisor.config: self.supervisor.render(programs)}
        for part in self._with_extras:
            files |= part.files()
        return self._write(files)

    @staticmethod
    def _write(files: Mapping[Path, str]) -> bool:
        changed = False
        for path, text in files.items():
            if path.exists() and path.read_text() == text:
                continue
            changed = changed or path.exists()
            path.touch(mode=0o600)
            path.write_text(text)
        return changed

    @staticmethod
    def _check_ports(parts: list[Part]) -> None:
        deadline = time.monotonic() + _PORT_PATIENCE_S
        while True:
            try:
                check_free(pair for part in parts for pair in part.ports.items())
                return
            except PortTakenError:
                # A killed server keeps its ports until the kernel has cleaned up after it, and has
                # lost its marks by then.
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _start(self, parts: list[Part]) -> None:
        states = self.supervisor.states()
        stopped = [part for part in parts if not states[part.name].pid]
        if stopped:
            self._say(f"starting {', '.join(part.name for part in stopped)}")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda part: part.prepare(), stopped))
        self.supervisor.start_programs(part.name for part in stopped)
        for part in parts:
            self._wait_until_up(part)

    def _start_ray(self) -> None:
        running = self.supervisor.states()[self.ray.name].pid
        redeploy = self._write({self.ray.serve_file: self.ray.serve_text()})
        if running and redeploy:
            self.deploy()
        else:
            self._start([self.ray])

    def _wait_until_up(self, part: Part) -> None:
        log = self.folder.log(part.name)
        ask = getattr(part, "unreachable", part.problem)
        crash: Callable[[], str | None] = getattr(part, "crash", lambda: None)
        patience = time.monotonic() + _CRASH_PATIENCE_S

        def problem() -> str | None:
            answer: str | None = ask()
            if answer is None:
                return None
            state = self.supervisor.states().get(part.name)
            if state is None:
                raise PartFailedError("supervisord ended")
            if time.monotonic() > patience:
                if state.state in {"BACKOFF", "FATAL"}:
                    raise PartFailedError(
                        f"{part.name} dies at its start: {state.detail}{tail(log)}"
                    )
                cause = crash()
                if cause is not None:
                    raise PartFailedError(f"{part.name} does not start: {cause}")
            return answer

        wait_for(part.name, problem, timeout_s=_START_TIMEOUT_S, log=log)

    def _set_up_stores(self, kinds: set[Kind]) -> None:
        if Kind.REDIS in kinds:
            try:
                form(self.settings(), self.stack.redis_replicas_per_master, 60, self._say)
            except ClusterError as error:
                raise PartFailedError(f"Redis Cluster: {error}") from error
        if Kind.MARIADB in kinds:
            self._run_module("setup.schema", "upgrade")
        if Kind.KAFKA in kinds:
            self._run_module("setup.topics", "create")

    def _run_module(self, module: str, command: str) -> None:
        self._say(f"{module} {command}")
        done = subprocess.run(
            (sys.executable, "-m", module, command),
            cwd=CHECKOUT,
            env={**clean_environment(), **self.environment(), "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        (self.folder.logs / f"{module}.log").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            output = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise PartFailedError(f"`python -m {module} {command}` failed:\n{output}")
