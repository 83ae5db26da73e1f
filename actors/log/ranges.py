"""Reads the records between two offsets of each partition, once, for the operators' tools."""

from collections.abc import AsyncIterator

from actors.log.ports import Record
from actors.log.topic_reader import Offsets, TopicReader

POLL_RECORDS = 2_000
POLL_S = 1.0


async def records_between(
    reader: TopicReader, starts: Offsets, ends: Offsets
) -> AsyncIterator[list[tuple[int, Record]]]:
    """(partition, record) in portions, in order within a partition; ``ends`` are not included.

    ``reader`` is open and has this loop as its only user. Raises ``LogUnavailable``.
    """
    left = {number for number, start in starts.items() if start < ends[number]}
    # All of them: a fetch fails on a partition without a position.
    reader.seek(starts)
    while left:
        portion = []
        for number, record in await reader.fetch(POLL_RECORDS, POLL_S):
            if number in left and record.offset < ends[number]:
                portion.append((number, record))
            if record.offset + 1 >= ends[number]:
                left.discard(number)
        yield portion


def newest(count: int, begins: Offsets, ends: Offsets) -> dict[int, int]:
    """Starts of the newest ``count`` offsets, as many of each partition."""
    share = -(-count // max(1, len(ends)))
    return {number: max(begins[number], end - share) for number, end in ends.items()}


def clamp(offsets: Offsets, low: Offsets, high: Offsets) -> dict[int, int]:
    """``offsets`` moved between ``low`` and ``high``, partition by partition."""
    return {n: min(max(offset, low[n]), high[n]) for n, offset in offsets.items()}
