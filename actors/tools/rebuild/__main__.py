"""``python -m actors.tools.rebuild aggregates|profiles``: see each command's ``--help``.

Exit status: 0 done, 1 not done (the message says why, and the live tables are as they were).
"""

import asyncio
import os
import sys
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from actors.errors import ActorError
from actors.log.ranges import newest as newest_offsets
from actors.log.topic_reader import TopicReader
from actors.serve.gc_tuning import collect_seldom
from actors.settings import actor_settings
from actors.tools.progress import LogProgress
from actors.tools.rebuild.compare import Difference
from actors.tools.rebuild.errors import RebuildFailed, RebuildRefused
from actors.tools.rebuild.profiles import apply_again
from actors.tools.rebuild.run import Options, Report, rebuild
from actors.tools.shards import tool_shards
from serve_app.core.bucket import format_bucket
from serve_app.core.names import REPAIR_GROUP, USER_TAGS_TOPIC
from serve_app.core.settings import settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

NICE: Final = 10
"""Taking tags goes before rebuilding."""
SHOWN: Final = 40


@app.command()
def aggregates(
    fresh: Annotated[
        bool, typer.Option(help="Start over; without it, a rebuild that was cut off goes on.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option(help="Go on although the log no longer has all that the tables have.")
    ] = False,
    compare: Annotated[
        bool, typer.Option(help="Show the differences between old and new, minute by minute.")
    ] = False,
    keep_old: Annotated[
        bool, typer.Option(help="Leave the old tables as …_old, until the next rebuild.")
    ] = False,
) -> None:
    """Count the whole log into new tables and swap them in, while the platform goes on."""
    options = Options(fresh, accept_loss, compare, keep_old)
    console = Console()
    with LogProgress("rebuild", console) as progress:
        report = asyncio.run(
            rebuild(
                USER_TAGS_TOPIC,
                stores=settings(),
                settings=actor_settings(),
                options=options,
                watcher=progress,
            )
        )
    show(report, console)


@app.command()
def profiles(
    newest: Annotated[
        int, typer.Option(min=0, help="Only that many of the newest tags; 0 is the whole log.")
    ] = 0,
) -> None:
    """Apply the tags of the log to the profiles in Redis again; changes nothing that is right."""
    asyncio.run(_profiles(newest))


async def _profiles(newest: int) -> None:
    stores, own, console = settings(), actor_settings(), Console()
    reader = TopicReader(USER_TAGS_TOPIC, REPAIR_GROUP, stores=stores, timeout_s=own.log_timeout_s)
    async with tool_shards(stores, own) as shards:
        try:
            await reader.open()
            starts, ends = await reader.begins(), await reader.ends()
            if newest:
                starts = newest_offsets(newest, starts, ends)
            with LogProgress("profiles", console) as progress:
                done = await apply_again(reader, shards, starts, ends, progress)
        finally:
            await reader.close()
    console.print(
        f"applied {done.tags:,} tags again; {done.erased:,} of erased cookies and "
        f"{done.unreadable:,} unreadable records left out",
        highlight=False,
    )


def show(report: Report, console: Console) -> None:
    """The report of a rebuild."""
    console.print(
        f"counted {report.tags:,} tags ({report.late:,} too old to be kept, "
        f"{report.unreadable:,} unreadable records) into "
        f"{report.rows:,} rows in {report.seconds:,.1f} s, "
        f"{report.tags / max(report.seconds, 0.001):,.0f} tags/s",
        highlight=False,
    )
    offsets = ", ".join(f"{p}: {offset}" for p, offset in sorted(report.offsets.items()))
    console.print(f"swapped in at the offsets {offsets}", highlight=False)
    for line in report.losses:
        console.print(f"lost: {line}", markup=False, highlight=False)
    if report.differences is not None:
        _show_differences(report.differences, console)


def _show_differences(differences: list[Difference], console: Console) -> None:
    console.print(f"{len(differences)} differences between old and new", highlight=False)
    if not differences:
        return
    table = Table("minute", "action", "old count", "new count", "old sum", "new sum")
    for found in differences[:SHOWN]:
        pairs = (found.old[0], found.new[0], found.old[1], found.new[1])
        table.add_row(format_bucket(found.minute), found.action, *map(str, pairs))
    console.print(table)
    if len(differences) > SHOWN:
        console.print(f"… and {len(differences) - SHOWN} more", highlight=False)


def main() -> None:
    """Run the command line; what a person can mend is printed without traceback."""
    os.nice(NICE)
    collect_seldom()
    try:
        app(prog_name="python -m actors.tools.rebuild")
    except (RebuildRefused, RebuildFailed, ActorError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
