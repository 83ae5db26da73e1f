"""The result of a soak: one JSON file, saved every minute, from which it can continue."""

from pathlib import Path
from typing import Any

import msgspec


class Process(msgspec.Struct):
    """One process at one moment."""

    rss_bytes: int
    descriptors: int
    threads: int


def part_of(name: str) -> str:
    """``kafka-1 4711`` → ``kafka-1``: the same across restarts."""
    return name.rpartition(" ")[0]


class Asked(msgspec.Struct):
    """Queries of one kind so far."""

    asked: int = 0
    right: int = 0
    unanswered: int = 0
    """Refused, or not answered in time."""


class SoakSample(msgspec.Struct, kw_only=True):
    """All figures, once a minute. ``at_s``: seconds under load, over all legs."""

    at_s: float
    leg: int
    processes: dict[str, Process]
    """By name and pid, such as ``kafka-1 4711``."""
    disk_bytes: dict[str, int]
    """By folder of the instance, such as ``data/mariadb-1``."""
    rows: dict[str, int]
    """Rows by table, the server's estimate."""
    table_partitions: dict[str, int]
    names: dict[str, int]
    """Names in the dictionary by dimension."""
    event_ms: int
    """Event time of the newest tag sent."""
    lag: int | None
    """Records not counted yet, over all partitions; None if unknown."""
    sent: int
    """Tags of this leg so far; so are the next three."""
    dropped: int
    wrong: int
    p99_ms: float
    """Median over the minute of the tags' p99 of each second; 0 if none was answered."""
    aggregates: Asked | None = None
    """Of this leg; None in soaks that did not record it. So are profiles."""
    profiles: Asked | None = None


class Event(msgspec.Struct):
    """A step and its outcome."""

    at_s: float
    what: str
    outcome: str = ""
    failed: bool = False
    """A tool's status, a part that did not become healthy, tags that went on being dropped."""
    until_s: float = 0.0
    """When it was over; 0 if the leg ended first."""


class Leg(msgspec.Struct, kw_only=True):
    """From one start of the platform to its stop; with the Web Panel's counters."""

    started: str
    """Wall clock, ISO, UTC."""
    commit: str = ""
    counters: dict[str, Any] = {}
    """Of its report, or, if it never came to that, what it last said."""
    latency_ms: dict[str, Any] = {}
    acknowledged: int = 0
    lost: int | None = None
    """Acknowledged tags missing in the log; None if the leg was killed."""
    verified: str = ""
    """Last line of ``actors.tools.verify``; empty if the leg was killed."""
    differences: int | None = None


class Soak(msgspec.Struct, kw_only=True):
    """A whole soak, finished or not."""

    about: dict[str, Any]
    """The arguments; a soak continues only with the same ones."""
    legs: list[Leg] = []
    samples: list[SoakSample] = []
    events: list[Event] = []
    next_start_ms: int
    """Earliest event time of the next leg, epoch ms."""
    findings: dict[str, str] = {}
    """Rule → what broke it; empty if kept."""

    @property
    def seconds(self) -> float:
        """Seconds under load so far."""
        return self.samples[-1].at_s if self.samples else 0.0

    @classmethod
    def load(cls, path: Path) -> "Soak | None":
        """Read the file, if it exists."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else None

    def save(self, path: Path) -> None:
        """Replace the file."""
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        new.replace(path)
