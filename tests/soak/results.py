"""What a soak leaves behind: one JSON file, saved every minute, from which it can go on."""

from pathlib import Path
from typing import Any

import msgspec


class Process(msgspec.Struct):
    """One process at one moment."""

    rss_bytes: int
    descriptors: int
    threads: int


class Sample(msgspec.Struct, kw_only=True):
    """Everything, once a minute. ``at_s`` counts the seconds under load, over all legs."""

    at_s: float
    leg: int
    processes: dict[str, Process]
    """By name and pid, such as ``kafka-1 4711``."""
    disk_bytes: dict[str, int]
    """By folder of the instance, such as ``data/mariadb-1``."""
    rows: dict[str, int]
    """Table → rows, by the server's estimate."""
    table_partitions: dict[str, int]
    names: dict[str, int]
    """Dimension → names in the dictionary."""
    event_ms: int
    """Event time of the newest tag sent."""
    lag: int | None
    """Records that are not counted, over all partitions; None if nobody could tell."""
    sent: int
    """Tags of this leg so far, as the next three."""
    dropped: int
    wrong: int
    p99_ms: float
    """Of tags: the median over the minute of each second's worst of a hundred."""


class Event(msgspec.Struct):
    """Something that was done to the platform, and how it went."""

    at_s: float
    what: str
    outcome: str = ""


class Leg(msgspec.Struct, kw_only=True):
    """From one start of the platform to its end; the counters are those of the Web Panel."""

    started: str
    """Wall clock, ISO, UTC."""
    counters: dict[str, Any] = {}
    latency_ms: dict[str, Any] = {}
    acknowledged: int = 0
    lost: int | None = None
    """Acknowledged tags that the log does not have; None when the leg was cut off."""
    verified: str = ""
    """Last line of ``actors.tools.verify``; empty when the leg was cut off."""
    differences: int | None = None


class Soak(msgspec.Struct, kw_only=True):
    """A whole soak, finished or not."""

    about: dict[str, Any]
    """What was asked for; a soak goes on only with the same."""
    legs: list[Leg] = []
    samples: list[Sample] = []
    events: list[Event] = []
    next_start_ms: int
    """Event time at which the next leg may begin."""
    findings: dict[str, str] = {}
    """Rule → what broke it; empty text where it was kept."""

    @property
    def seconds(self) -> float:
        """Under load so far."""
        return self.samples[-1].at_s if self.samples else 0.0

    @classmethod
    def load(cls, path: Path) -> "Soak | None":
        """From the file, if it is there."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else None

    def save(self, path: Path) -> None:
        """Replace the file."""
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self)))
        new.replace(path)
