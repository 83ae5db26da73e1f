"""Commands of ``python -m setup.local``."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from setup.local.callers_settings import (
    forget_settings,
    given_settings,
    store_settings,
    stored_settings,
)
from setup.local.errors import SetupError
from setup.local.instances import current_root, fresh_root, main_root, roots
from setup.local.panel import run_panel
from setup.local.platform import EVERYTHING, METRICS, Platform
from setup.local.status import show_status

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class _Chosen:
    """The options that stand before the command."""

    stack: str
    root: Path | None
    free: bool

    def at(self, root: Path) -> Platform:
        """The instance of this run folder, with the settings that it was started with."""
        return Platform(
            root,
            stack=self.stack,
            free=self.free,
            extra_environment=stored_settings(root),
            say=typer.echo,
        )

    def to_start_at(self, root: Path) -> Platform:
        """The same; settings in the caller's environment are added, and kept until `down`."""
        given, ignored = given_settings(os.environ)
        for name in ignored:
            typer.echo(f"{name} is ignored: the platform itself decides it", err=True)
        store_settings(root, {**stored_settings(root), **given})
        return self.at(root)

    def current(self) -> Platform:
        """The instance that runs, or the one that `up` would start."""
        return self.at(self.root or current_root(self.stack))


@app.callback()
def options(
    context: typer.Context,
    stack: Annotated[str, typer.Option(help="Which stores: dev, cluster or mysql.")] = "dev",
    root: Annotated[
        Path | None, typer.Option(help="Run folder; default .run/<stack> in the checkout.")
    ] = None,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Ports of its own, remembered in the run folder.")
    ] = False,
) -> None:
    """The whole platform as processes of this machine."""
    context.obj = _Chosen(stack, root, free_ports)


@app.command()
def up(
    context: typer.Context,
    part: Annotated[
        list[str] | None,
        typer.Option(help=f"Only parts of this kind, repeatable: {', '.join(EVERYTHING)}."),
    ] = None,
) -> None:
    """Start what does not run; ready to be used when it returns."""
    chosen: _Chosen = context.obj
    platform = chosen.to_start_at(chosen.root or main_root(chosen.stack))
    platform.up(part or EVERYTHING)
    if not part:
        _say_urls(platform)


@app.command()
def metrics(context: typer.Context) -> None:
    """Start Prometheus beside the platform, with Ray's targets and the alert rules."""
    platform = context.obj.current()
    platform.up([METRICS])
    typer.echo(f"Prometheus     {platform.prometheus.url}/alerts and /graph")
    typer.echo(f"Ray dashboard  {platform.ray.dashboard_url}")


@app.command()
def fresh(context: typer.Context) -> None:
    """Start on empty data, in a run folder apart from that of `up`."""
    chosen: _Chosen = context.obj
    platform = chosen.at(chosen.root or fresh_root(chosen.stack))
    # A setting that is refused costs no data.
    given_settings(os.environ)
    platform.down()
    platform.clean_data()
    platform = chosen.to_start_at(platform.folder.root)
    platform.up()
    _say_urls(platform)


@app.command()
def down(context: typer.Context) -> None:
    """Stop everything and leave no process behind."""
    chosen: _Chosen = context.obj
    for root in [chosen.root] if chosen.root else roots(chosen.stack):
        chosen.at(root).down()
        forget_settings(root)


@app.command()
def status(context: typer.Context) -> None:
    """Show each part, and each partition; exit status 1 unless all are healthy."""
    if not show_status(context.obj.current(), Console()):
        raise typer.Exit(1)


@app.command()
def logs(
    context: typer.Context,
    part: Annotated[str, typer.Argument(help="One part, such as kafka-1.")] = "*",
    lines: Annotated[int, typer.Option(help="Of each log, to begin with.")] = 20,
) -> None:
    """Follow the logs of all parts, or of one."""
    folder = context.obj.current().folder
    files = [str(file) for file in sorted(folder.logs.glob(f"{part}.log"))]
    if not files:
        raise SetupError(f"no log {part}.log in {folder.logs}")
    os.execvp("tail", ("tail", f"--lines={lines}", "-F", *files))


@app.command("clean-data")
def clean_data(context: typer.Context) -> None:
    """Remove data, logs and passwords; refused while anything uses them."""
    chosen: _Chosen = context.obj
    for root in [chosen.root] if chosen.root else roots(chosen.stack):
        chosen.at(root).clean_data()


@app.command()
def env(context: typer.Context) -> None:
    """Print the variables of a client, for ``eval``."""
    for name, value in context.obj.current().environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def deploy(context: typer.Context) -> None:
    """Deploy the Serve config to the Ray that runs, and wait until it serves."""
    context.obj.current().deploy()


@app.command(context_settings={"ignore_unknown_options": True})
def panel(context: typer.Context, command: list[str]) -> None:
    """Run a Web Panel command with this instance's address and a start time that suits it."""
    platform = context.obj.current()
    exit_status = run_panel(platform, command)
    _say_urls(platform)
    raise typer.Exit(exit_status)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(context: typer.Context, command: list[str]) -> None:
    """Run a command with the variables that lead to this instance's stores and its Ray."""
    platform = context.obj.current()
    # Of a client of Ray, such as `ray job submit`.
    ray = {"RAY_API_SERVER_ADDRESS": platform.ray.dashboard_url, "RAY_AUTH_MODE": "disabled"}
    os.execvpe(command[0], command, {**os.environ, **platform.environment(), **ray})


def _say_urls(platform: Platform) -> None:
    typer.echo(f"API            {platform.ray.url}")
    typer.echo(f"OpenAPI docs   {platform.ray.url}/docs")
    typer.echo(f"Ray dashboard  {platform.ray.dashboard_url}")
    typer.echo("Web Panel      `make panel-ui` serves it as a page on http://127.0.0.1:8090")
    typer.echo("These stay up; `make down` stops them.")


def main() -> None:
    """Run the command line; a SetupError is printed without traceback."""
    try:
        app(prog_name="python -m setup.local")
    except SetupError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        # A full disk, a folder that is not ours: the system's own words say which file and why.
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
