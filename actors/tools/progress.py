"""Progress for people: bars with an estimate on a terminal, else a line now and then."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_S: Final = 5.0
"""Between two lines where there is no terminal: the log of a job."""


class LogProgress:
    """How much of each partition of the log is done; its end may move meanwhile."""

    def __init__(self, what: str, console: Console) -> None:
        """``what`` is printed before every figure."""
        self._what = what
        self._console = console
        self._started_s = time.monotonic()
        self._line_s = self._started_s
        self._first: int | None = None
        self._tasks: dict[int, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._total = self._bars.add_task(what, total=None, rate="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line, above the bars."""
        self._console.print(line, highlight=False, markup=False)

    def counted(
        self, starts: Mapping[int, int], offsets: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        """Progress of each partition: begun at, worked off up to, end of the log."""
        done = sum(offsets[n] - starts[n] for n in offsets)
        total = sum(max(ends[n], offsets[n]) - starts[n] for n in offsets)
        if self._first is None:
            self._first = done
        now_s = time.monotonic()
        rate = (done - self._first) / max(now_s - self._started_s, 0.001)
        self._bars.update(self._total, completed=done, total=total, rate=f"{rate:,.0f}/s")
        for number in offsets:
            if number not in self._tasks:
                self._tasks[number] = self._bars.add_task(f"  partition {number}", rate="")
            self._bars.update(
                self._tasks[number],
                completed=offsets[number] - starts[number],
                total=max(ends[number], offsets[number]) - starts[number],
            )
        if not self._console.is_terminal and now_s - self._line_s >= LINE_S:
            self._line_s = now_s
            left = f", about {(total - done) / rate:,.0f} s left" if rate > 0 else ""
            share = 100 * done / total if total else 100.0
            self.say(f"{self._what}: {done:,} of {total:,} ({share:.0f} %), {rate:,.0f}/s{left}")
