"""What the counting loop needs from the tables.

The real one is ``mysql_sink``; tests pass plain objects. Every call here returns or raises within
its own time limit: the loop never hangs on the database.
"""

from dataclasses import dataclass
from typing import Protocol

from actors.aggregates.batch import Batch


@dataclass(frozen=True, slots=True)
class Position:
    """The row of ``partition_offsets``: everything before ``next_offset`` is in the tables."""

    topic_id: str
    """Kafka's id of the topic, a UUID as 32 hexadecimal digits."""
    next_offset: int
    watermark_ms: int | None
    """Newest event time in the tables, epoch ms; ``None`` before the first tag."""


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What one committed flush wrote."""

    rows: int
    """Rows of ``aggregates`` and ``rollups`` sent."""
    late: int = 0
    """Tags of the batch that are older than what the tables keep, and were left out."""
    capped_names: int = 0
    """Names in the batch that got no id because the dictionary is full."""


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
        """Close every connection. Never raises."""
        ...
