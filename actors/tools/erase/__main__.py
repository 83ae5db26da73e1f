"""``python -m actors.tools.erase COOKIE``.

Exit status: 0 erased, 1 erased but it may come back, 2 not erased.
"""

import asyncio
import json
import sys
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from actors.errors import Unavailable
from actors.settings import actor_settings
from actors.tools.erase.run import Eraser, Erasure
from actors.tools.progress import LogProgress
from actors.tools.shards import tool_shards
from serve_app.core.clock import SystemClock
from serve_app.core.settings import settings
from serve_app.core.tag import MAX_NAME_LENGTH

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

WAIT_S: Final = 120.0


@app.command()
def command(
    cookie: Annotated[str, typer.Argument(help="As the tags have it.")],
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait until nothing can bring a tag back."),
    ] = WAIT_S,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Remove a cookie's profile from Redis, for good, and say what the log keeps until when."""
    if not 1 <= len(cookie) <= MAX_NAME_LENGTH:
        raise typer.BadParameter(f"cookie: must have 1 to {MAX_NAME_LENGTH} characters")
    console = Console(stderr=as_json)
    done = asyncio.run(_erase(cookie, wait, console))
    if as_json:
        typer.echo(json.dumps(done.document()))
    else:
        _show(done, Console())
    if done.pending:
        raise typer.Exit(1)


async def _erase(cookie: str, wait_s: float, console: Console) -> Erasure:
    stores, own = settings(), actor_settings()
    async with tool_shards(stores, own) as shards:
        with LogProgress("looking through the log", console) as progress:
            return await Eraser(stores, own, shards, SystemClock(), progress).erase(cookie, wait_s)


def _show(done: Erasure, console: Console) -> None:
    console.print(
        f"Redis: {done.removed:,} tags removed"
        + (f", and {done.came_back:,} that were written again meanwhile" if done.came_back else ""),
        highlight=False,
    )
    console.print("MySQL: aggregates hold no cookie, there is nothing to remove", highlight=False)
    table = Table("Kafka topic", "records left", "arrived", "last one gone", title_justify="left")
    for traces in done.traces:
        left = traces.document()
        gone = f"{left['gone_earliest']} to {left['gone_latest']}"
        if not traces.records:
            arrived = gone = "-"
        else:
            arrived = f"{left['oldest_arrival']} to {left['newest_arrival']}"
            if traces.gone_ms() is None:
                gone = "never: the topic has no retention.ms"
            if traces.retention_bytes >= 0:
                gone += f", or past {traces.retention_bytes:,} bytes a partition"
        table.add_row(traces.topic, f"{traces.records:,}", arrived, gone)
    console.print(table)
    for line in done.pending:
        console.print(f"[red]not for good yet:[/] {line}. Run this again later.", highlight=False)


def main() -> None:
    """Run the command line; a store that is away is said without traceback."""
    try:
        app(prog_name="python -m actors.tools.erase")
    except Unavailable as error:
        typer.echo(f"error: {error}. It is safe to run this again.", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
