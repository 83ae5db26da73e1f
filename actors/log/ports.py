"""What a loop needs from the log: its records, and where unreadable ones go.

The real ones are ``kafka_log`` and ``dead_letters``; tests pass plain objects. Every call here
returns or raises within its own time limit: a loop never hangs on Kafka.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of the log.

    ``timestamp_ms`` is the arrival time that Kafka keeps, not the event time.
    """

    offset: int
    value: bytes | None
    timestamp_ms: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()
    """Of ours none is null; those of other producers may be."""


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
        """Close every connection. Never raises."""
        ...


class DeadLetters(Protocol):
    """Where unreadable records go."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged; raises ``DeadLettersUnavailable``."""
        ...

    async def close(self) -> None:
        """Close every connection. Never raises."""
        ...
