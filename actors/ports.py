"""What a partition actor needs from the outside: a log, a sink, a place for dead letters, a clock.

The real ones are ``kafka_log``, ``mysql_sink`` and ``dead_letters``; tests pass plain objects.
Every call here returns or raises within its own time limit: the loop never hangs on a store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from actors.batch import Batch


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of the log.

    ``timestamp_ms`` is the arrival time that Kafka keeps, not the event time.
    """

    offset: int
    value: bytes | None
    timestamp_ms: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """The row of ``partition_offsets``: everything before ``next_offset`` is in the tables."""

    topic_id: str
    """Kafka's id of the topic, a UUID as 32 hexadecimal digits."""
    next_offset: int
    watermark_ms: int | None
    """Newest event time in the tables, epoch ms; ``None`` before the first tag."""


@dataclass(frozen=True, slots=True)
class LogState:
    """Topic id and ends of one partition's log, as its leader sees them.

    Topic ids never return. So an id that is asked for after some records were fetched, and is the
    expected one, proves that those records came from the expected topic.
    """

    topic_id: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be read, and why (one line)."""

    record: Record
    reason: str


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What one committed flush wrote."""

    rows: int
    """Rows of ``aggregates`` and ``rollups`` sent."""
    late: int = 0
    """Tags of the batch that are older than what the tables keep, and were left out."""
    capped_names: int = 0
    """Names in the batch that got no id because the dictionary is full."""


class Log(Protocol):
    """One partition of the topic. Raises ``LogUnavailable`` when Kafka does not answer."""

    async def state(self) -> LogState:
        """The topic's id and the partition's first and next offsets, now."""
        ...

    async def seek(self, offset: int) -> None:
        """Continue at ``offset``; drops whatever was fetched ahead."""
        ...

    async def fetch(self, max_records: int, timeout_s: float) -> list[Record]:
        """Next records in order, maybe none; waits at most ``timeout_s`` for the first.

        A position outside of the log is ``LogUnavailable`` here: `state` tells what happened.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection. Never raises."""
        ...


class Sink(Protocol):
    """The tables of one partition. Raises ``SinkUnavailable`` or ``SinkBroken``."""

    async def position(self) -> Position | None:
        """The stored position, ``None`` before the first claim."""
        ...

    async def claim(self, first: Position) -> Position:
        """Store ``first`` unless a position is there; returns what is stored afterwards."""
        ...

    async def flush(self, batch: Batch, old: Position, new: Position) -> FlushReport:
        """Add the batch and move the position from ``old`` to ``new``, both or neither.

        Raises:
            Conflict: the stored position is not ``old``; nothing was written.
            SinkUnavailable: it may have been written or not.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection. Never raises."""
        ...


class DeadLetters(Protocol):
    """Where unreadable records go."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged; raises ``DeadLettersUnavailable``."""
        ...

    async def close(self) -> None:
        """Let go of every connection. Never raises."""
        ...
