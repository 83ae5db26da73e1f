"""``python -m actors.tools.erase COOKIE``.

Exit status: 0 erased, 1 certain but not done in Redis yet (the actors will), 2 not erased.
"""

import asyncio
import json
import sys
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from actors.errors import StoreUnavailable
from actors.settings import actor_settings
from actors.tools.erase.run import Eraser, Outcome
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
        typer.Option(min=0, help="Seconds to wait until it is done in Redis."),
    ] = WAIT_S,
    scan: Annotated[
        bool,
        typer.Option(
            help="Look through the whole log for the cookie: how many records, and how old."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Remove a cookie's profile from Redis, for good, and say what the log keeps until when.

    The erasure is a record of the log: it is certain from then on, whatever fails. Tags that
    arrive later are a new history. Running it again erases these, too.
    """
    if not 1 <= len(cookie) <= MAX_NAME_LENGTH:
        raise typer.BadParameter(f"cookie: must have 1 to {MAX_NAME_LENGTH} characters")
    console = Console(stderr=as_json)
    done = asyncio.run(_erase(cookie, wait, scan, console))
    if as_json:
        typer.echo(json.dumps(done.document()))
    else:
        _show(done, Console())
    if done.pending:
        raise typer.Exit(1)


async def _erase(cookie: str, wait_s: float, scan: bool, console: Console) -> Outcome:
    stores, own = settings(), actor_settings()
    async with tool_shards(stores, own, needed=False) as shards:
        # Only for the count of what was there; the erasure does not need it.
        await shards.changed(own.view_node_timeout_s)
        with LogProgress("erasing", console) as progress:
            eraser = Eraser(stores, own, shards, SystemClock(), progress)
            return await eraser.erase(cookie, wait_s, scan=scan)


def _show(done: Outcome, console: Console) -> None:
    removed = "an unknown number of" if done.removed is None else f"{done.removed:,}"
    console.print(f"Redis: {removed} tags removed", highlight=False)
    console.print("MySQL: aggregates hold no cookie, there is nothing to remove", highlight=False)
    table = Table("Kafka topic", "records that name it", "arrived", "last one gone by")
    for kept in done.kept:
        left = kept.document()
        records = "not counted (--scan)" if kept.records is None else f"{kept.records:,}"
        arrived = f"{left['oldest_arrival']} to {left['newest_arrival']}" if kept.records else "-"
        gone = left["gone_latest"] or "never: the topic has no retention.ms"
        if kept.retention_bytes >= 0:
            gone += f", or past {kept.retention_bytes:,} bytes a partition"
        table.add_row(kept.topic, records, arrived, gone)
    console.print(table)
    for line in done.pending:
        console.print(f"[red]not yet done:[/] {escape(line)}", highlight=False)
    if done.pending:
        console.print("The log has the erasure, and the actors will do it.", highlight=False)


def main() -> None:
    """Run the command line; a store that is down is reported without traceback."""
    try:
        app(prog_name="python -m actors.tools.erase")
    except StoreUnavailable as error:
        typer.echo(f"error: {error}. It is safe to run this again.", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
