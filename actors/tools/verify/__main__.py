"""``python -m actors.tools.verify``.

Exit status: 0 no difference, 1 differences, 2 could not compare.
"""

import asyncio
import json
import os
import sys
from typing import Annotated, Final

import typer
from rich.console import Console

from actors.errors import ActorError
from actors.serve.gc_tuning import collect_seldom
from actors.settings import actor_settings
from actors.tools.progress import LogProgress
from actors.tools.shards import tool_shards
from actors.tools.verify.differences import Findings, show
from actors.tools.verify.run import Wanted, parse_offsets, verify
from serve_app import priority
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

NEWEST: Final = 1_000_000
"""Tags that are looked at unless told otherwise: about 0.5 KB of memory each."""


@app.command()
def command(
    from_: Annotated[
        str, typer.Option("--from", help="First offset: 120, or 0:120,1:80 by partition.")
    ] = "",
    to: Annotated[str, typer.Option(help="Offset after the last, like --from.")] = "",
    newest: Annotated[
        int, typer.Option(min=1, help="Look at the newest tags only, unless --from is given.")
    ] = NEWEST,
    all_: Annotated[bool, typer.Option("--all", help="The whole log, however long.")] = False,
    exact: Annotated[
        bool,
        typer.Option(
            help="Read the rest of the log as well, so that a range's rows are compared exactly."
        ),
    ] = False,
    aggregates: Annotated[bool, typer.Option(help="Compare MySQL.")] = True,
    profiles: Annotated[bool, typer.Option(help="Compare Redis.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document with all differences.")
    ] = False,
    most: Annotated[
        int, typer.Option("--show", min=0, help="Differences in the table; 0 shows all.")
    ] = 200,
) -> None:
    """Compare the log with MySQL and Redis, and name every difference.

    Without a range: the newest tags, which is the whole log while it is no longer than that. The
    platform may go on meanwhile.
    """
    try:
        starts = parse_offsets(from_, "--from") if from_ else None
        ends = parse_offsets(to, "--to") if to else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    wanted = Wanted(starts, ends, None if all_ else newest, exact, aggregates, profiles)
    # The document goes to the output, progress beside it.
    console = Console(stderr=as_json)
    findings = asyncio.run(_verify(wanted, console))
    if as_json:
        typer.echo(json.dumps(findings.document()))
    else:
        show(findings, console, most)
    if findings.differences:
        raise typer.Exit(1)


async def _verify(wanted: Wanted, console: Console) -> Findings:
    stores, own = settings(), actor_settings()
    async with tool_shards(stores, own, needed=wanted.profiles) as shards:
        with LogProgress("reading the log", console) as progress:
            return await verify(
                USER_TAGS_TOPIC,
                stores=stores,
                settings=own,
                shards=shards,
                wanted=wanted,
                progress=progress,
            )


def main() -> None:
    """Run the command line; a store that is down is reported without traceback."""
    os.nice(priority.TOOLS)
    collect_seldom()
    try:
        app(prog_name="python -m actors.tools.verify")
    except ActorError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
