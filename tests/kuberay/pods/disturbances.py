"""What was done to the cluster under load, and what came of it: rows of a table."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from tests.faults.running_load import QUIET_S, Sample, seconds_until_normal
from tests.kuberay.pods.kube import Kube, is_ready, wait_for
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.quiet import drops_over_time
from tests.results.recording import Recording

COLUMNS: Final = (
    "what was done",
    "dropped",
    "of these without an answer in time",
    "wrong",
    "normal after (s)",
    "all pods ready after (s)",
)
_FAR: Final = 10


@dataclass(frozen=True)
class Row:
    """``dropped`` and ``sent`` are tags and profile queries from the beginning until normal.

    Of the dropped, ``timed_out`` had no answer in time; the others were refused, or cut off.
    """

    name: str
    dropped: int
    timed_out: int
    sent: int
    wrong: int
    normal_s: float
    ready_s: float
    most_refused: float | None = None
    """What the others of the dropped should not be more than."""
    most_dropped: float | None = None
    """What the dropped should not be more than, as a share of the sent."""

    @property
    def refused(self) -> int:
        """Or cut off, or without a connection in time."""
        return self.dropped - self.timed_out


@dataclass
class Table:
    """Of one run."""

    rows: list[Row] = field(default_factory=list)
    times_s: list[tuple[str, float]] = field(default_factory=list)
    pods_bytes: int = 0
    """Working set of all pods under load; 0: not known."""

    def timed(self, name: str, seconds: float) -> None:
        """How long something took that has no row."""
        self.times_s.append((name, seconds))

    def record(self, recording: Recording) -> bool:
        """Write the result; whether nothing was wrong."""
        dropped, sent = (sum(getattr(row, key) for row in self.rows) for key in ("dropped", "sent"))
        wrong = sum(row.wrong for row in self.rows)
        recording.figure("wrong_answers", wrong, at_most=0)
        recording.figure("dropped", dropped)
        recording.figure("sent", sent)
        for row in self.rows:
            recording.figure(f"normal after (s): {row.name}", round(row.normal_s, 1))
            # On a machine that others use as well, a bound that is missed says more of them.
            recording.figure(f"refused: {row.name}", row.refused, at_most=row.most_refused)
            if row.most_dropped is not None:
                share = round(100 * row.dropped / row.sent, 2)
                recording.figure(f"dropped (%): {row.name}", share, at_most=100 * row.most_dropped)
        recording.table(
            "rows",
            COLUMNS,
            [
                (
                    row.name,
                    f"{row.dropped:,} of {row.sent:,}",
                    row.timed_out,
                    row.wrong,
                    f"{row.normal_s:.1f}",
                    f"{row.ready_s:.0f}",
                )
                for row in self.rows
            ],
        )
        recording.table(
            "times", ("what", "seconds"), [(what, f"{s:.0f}") for what, s in self.times_s]
        )
        memory = f"; all pods took {self.pods_bytes / 2**30:.1f} GiB" if self.pods_bytes else ""
        return recording.finish(
            f"{len(self.rows)} disturbances of the pods under load: {wrong} wrong answers, "
            f"{dropped:,} of {sent:,} requests dropped{memory}"
        )


@contextmanager
def disturbed(
    name: str,
    load: Load,
    kube: Kube,
    table: Table,
    *,
    healed: Callable[[], object] = lambda: True,
    refused_s: float,
    timed_out_s: float = 20,
    dropped_share: float | None = None,
    patience_s: float = 240,
) -> Iterator[None]:
    """The block does it. Waits until ``healed`` says so, all pods are ready and nothing is dropped.

    Raises:
        AssertionError: an answer was wrong, things are not normal after ``patience_s``, or far more
            was dropped than bounds allow: than ``refused_s`` seconds of the load refused or cut
            off, which the result says, or than ``timed_out_s`` without an answer in time, since
            the machine starts pods meanwhile.
            ``dropped_share`` of all is a bound of the result alone.
    """
    before, began_s = load.samples[-1], load.now_s
    yield
    began = time.monotonic()
    wait_for(f"{name}: healed", healed, timeout_s=patience_s)
    wait_for(f"{name}: all pods ready", lambda: all_ready(kube), timeout_s=patience_s)
    ready_s = load.now_s - began_s
    healed_s = load.now_s

    def normal() -> list[float]:
        seconds = seconds_until_normal(load.samples, began_s, healed_s)
        return [] if seconds is None else [seconds]

    left_s = patience_s - (time.monotonic() - began) + QUIET_S
    try:
        (normal_s,) = wait_for(f"{name}: no request dropped", normal, timeout_s=left_s)
    except AssertionError as error:
        lines = drops_over_time(load.samples, began_s)
        raise AssertionError("\n".join((str(error), *lines))) from None
    a_second = load.options.rate * (1 + 1 / load.options.tags_per_profile)
    row = row_of(name, load, before, load.samples[-1], normal_s=normal_s, ready_s=ready_s)
    row = replace(row, most_refused=round(refused_s * a_second), most_dropped=dropped_share)
    print(row, *drops_over_time(load.samples, began_s), sep="\n", flush=True)
    table.rows.append(row)
    assert not row.wrong, row
    assert row.refused <= _FAR * refused_s * a_second, row
    assert row.timed_out <= timed_out_s * a_second, row


def row_of(
    name: str, load: Load, before: Sample, after: Sample, *, normal_s: float, ready_s: float
) -> Row:
    """What came of the requests between two samples."""
    return Row(
        name,
        dropped=after.dropped - before.dropped,
        timed_out=after.timed_out - before.timed_out,
        sent=round((after.sent - before.sent) * (1 + 1 / load.options.tags_per_profile)),
        wrong=after.wrong - before.wrong,
        normal_s=normal_s,
        ready_s=ready_s,
    )


def all_ready(kube: Kube) -> bool:
    """Every pod that is no job's, and none on its way out."""
    pods = [
        pod
        for pod in kube.items("pods")
        # Of a CronJob one may run at any time, or have failed on a host that died.
        if all(owner["kind"] != "Job" for owner in pod["metadata"].get("ownerReferences", ()))
    ]
    return bool(pods) and all(is_ready(pod) for pod in pods)
