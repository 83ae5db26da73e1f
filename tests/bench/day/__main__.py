"""``python -m tests.bench.day --hours H``: a day of the Web Panel's stream, hour by hour.

Sends 3.6 million tags an hour of event time to the log at full speed, lets the three partition
actors (Ray Serve's case3) count them, checks a sample of minutes against the oracle, and reports
hours 1, 6, 12, 24 and the last one. Continues where it stopped: the data stay in the folder until
``--clean`` removes them. Log segments beyond 2 GiB per partition are dropped, so that a day fits.
Exit status 1 if first and last hour differ by more than 1.2 times in any figure.
"""

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from setup.command_line import run_main
from setup.local.errors import SetupError
from tests.bench.day.day import Day, DayFailed
from tests.bench.day.disk import TooLittleSpace
from tests.bench.day.results import growth, markdown, table
from tests.bulk.hours import HOUR_TAGS
from tests.results.recording import Recording

FOLDER: Final = Path(".run/bench-day")
GOAL_GROWTH: Final = 1.2


def main(
    hours: Annotated[float, typer.Option(help="Of event time, at most 24.")] = 24.0,
    folder: Annotated[Path, typer.Option(help="Where the data stay.")] = FOLDER,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove the data of former runs first.")
    ] = False,
) -> int:
    """Run, print, stop."""
    if not 0 < hours <= 24:
        raise typer.BadParameter("--hours: must be above 0 and at most 24")
    console = Console()
    if clean:
        shutil.rmtree(folder, ignore_errors=True)
    recording = Recording("bench-day")
    day = Day(folder, max(1, round(hours * HOUR_TAGS)))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, speed_estimate_period=300) as bar:
            task = bar.add_task("starting", total=round(hours * HOUR_TAGS))
            day.run(
                lambda tags: bar.update(task, completed=tags),
                lambda step: bar.update(task, description=step),
            )
    except (TooLittleSpace, DayFailed, SetupError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; the same command continues")
        return 130
    finally:
        day.platform.down()
    console.print(markdown(day.results), markup=False, soft_wrap=True)
    for name, ratio in growth(day.results.hours).items():
        recording.figure(f"growth_{name.replace(' ', '_')}", ratio, at_most=GOAL_GROWTH)
    head, *rows = table(day.results)
    recording.table("hours", head, rows)
    last = day.results.hours[-1]
    kept = recording.finish(
        f"{len(day.results.hours)} hours of event time, {last.end_tags / 1e6:.1f} million tags: "
        f"{last.tags_s:,.0f} tags/s and {last.row_bytes:.0f} bytes per row at the end"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    run_main(main, __doc__)
