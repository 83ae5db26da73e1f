"""Records taken from the log and not yet handed to a flush."""

from dataclasses import dataclass, field

from actors.aggregates.batch import Batch
from actors.log.entries import UnreadableRecord, read_entry
from actors.log.ports import DeadLetter, Record
from actors.settings import ActorSettings
from serve_app.core.erasure import Erasure


@dataclass(slots=True)
class Pending:
    """The tags of some consecutive records as a batch, and the records that are none."""

    settings: ActorSettings
    next_offset: int
    """Offset after the last record taken, or where the first one is expected."""
    batch: Batch = field(default_factory=Batch)
    letters: list[DeadLetter] = field(default_factory=list)
    letter_bytes: int = 0
    skipped: int = 0
    """Records that are neither: erasures of cookies."""
    since_s: float = 0.0
    """Monotonic time of the first record."""

    def take(self, record: Record, now_s: float) -> int:
        """Add one record; returns how many offsets are missing before it, normally 0.

        A record before ``next_offset`` was added already, and is left out.
        """
        missing = record.offset - self.next_offset
        if missing < 0:
            return 0
        if not self:
            self.since_s = now_s
        try:
            entry = read_entry(record)
            if isinstance(entry, Erasure):
                # An erasure changes no aggregate; only the offset moves.
                self.skipped += 1
            else:
                self.batch.add(*entry)
        except UnreadableRecord as unreadable:
            self.letters.append(DeadLetter(record, str(unreadable)))
            self.letter_bytes += len(record.value or b"")
        self.next_offset = record.offset + 1
        return missing

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.batch.tags or self.letters or self.skipped)

    @property
    def full(self) -> bool:
        """Whether a limit on rows or bytes is reached: flush now, and take no more."""
        settings = self.settings
        return (
            self.batch.rows >= settings.flush_rows
            or len(self.letters) >= settings.flush_rows
            or self.letter_bytes >= settings.dead_letter_bytes
        )

    def due_in_s(self, now_s: float) -> float:
        """Seconds until this must be flushed, 0 if it is due; only if there is anything."""
        if self.full:
            return 0.0
        return max(0.0, self.since_s + self.settings.flush_interval_s - now_s)
