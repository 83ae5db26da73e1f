"""``python -m actors.tools.rebuild aggregates|profiles``: see each command's ``--help``.

Exit status: 0 done; 1 not done, and the message says why. Aggregates are then as they were; for
profiles, the actors apply again what was forgotten all the same. 2: wrong options.
"""

import asyncio
import os
import sys
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from actors.errors import ActorError
from actors.log.topic_reader import TopicReader
from actors.serve.gc_tuning import collect_seldom
from actors.settings import actor_settings
from actors.tools.progress import LogProgress
from actors.tools.rebuild.compare import CountDifference
from actors.tools.rebuild.errors import RebuildFailed, RebuildRefused
from actors.tools.rebuild.profiles import ProfileRebuild, check_log_is_whole, chosen_slots
from actors.tools.rebuild.run import RebuildOptions, Report, rebuild
from actors.tools.shards import tool_shards
from serve_app import priority
from serve_app.core.bucket import format_bucket
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

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
    options = RebuildOptions(fresh, accept_loss, compare, keep_old)
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
    shard: Annotated[
        str, typer.Option(help="Only the shard with this master (host:port); all without it.")
    ] = "",
    force: Annotated[
        bool,
        typer.Option(
            help="Also when the log no longer has all: queries are then refused until accepted."
        ),
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            help="Forget nothing; answer again from shards that lost more than the log has."
        ),
    ] = False,
) -> None:
    """Have the log applied to the profiles in Redis again, from its begin, by the actors.

    Queries of a shard are refused until it is whole; tags are taken meanwhile. When this is cut
    off the actors go on without it.
    """
    asyncio.run(_profiles(shard, force=force, accept_loss=accept_loss))


async def _profiles(name: str, *, force: bool, accept_loss: bool) -> None:
    stores, own, console = settings(), actor_settings(), Console()
    async with tool_shards(stores, own) as shards:
        slots = chosen_slots(shards, name)
        with LogProgress("profiles", console) as progress:
            work = ProfileRebuild(shards, slots, progress)
            if accept_loss:
                accepted = await work.accept_loss()
                progress.say(f"{accepted:,} positions are taken as whole from here on")
                return
            reader = TopicReader(USER_TAGS_TOPIC, stores=stores, timeout_s=own.log_timeout_s)
            try:
                await reader.open()
                begins, ends = await reader.begins(), await reader.ends()
            finally:
                await reader.close()
            if not force:
                check_log_is_whole(begins)
            progress.say(f"{await work.forget():,} positions forgotten: the actors begin again")
            await work.follow(begins, ends)
            tags = sum(end - begins[partition] for partition, end in ends.items())
            progress.say(f"the actors have applied {tags:,} records again")
            if any(begins.values()):
                progress.say("queries are refused until you run this with --accept-loss")


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


def _show_differences(differences: list[CountDifference], console: Console) -> None:
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
    """Run the command line; errors that a person can fix are printed without traceback."""
    os.nice(priority.TOOLS)
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
