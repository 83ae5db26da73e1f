"""What a rebuild would lose: minutes in the tables that are older than the log.

Tables that nothing was ever counted into have lost all that came before the log's begin.
"""

from collections.abc import Sequence
from statistics import median_low
from typing import Final

from actors.aggregates.tables import LIVE
from actors.log.entries import tag_of
from actors.log.ranges import records_between
from actors.log.topic_reader import Offsets, TopicReader
from actors.tools.rebuild.session import RebuildSession
from serve_app.core.bucket import format_bucket, minute_of

LOOK_AT: Final = 100
"""Records at the beginning of a truncated log: their median event time says where it begins, so
that a single misdated tag cannot."""


async def losses(
    session: RebuildSession, reader: TopicReader, begins: Offsets, counted: Offsets
) -> Sequence[str]:
    """One line per partition that would lose something; normally empty.

    ``counted`` says from where the rebuild goes on, for partitions that it has counted in part:
    what it has is as good as the log. A first minute that both have counts as lost, since it may
    have begun before the log does.
    """
    cut = {p: begin for p, begin in begins.items() if begin > 0 and p not in counted}
    if not cut:
        return []
    times: dict[int, list[int]] = {}
    ends = await reader.ends()
    upto = {p: min(ends[p], begin + LOOK_AT) if p in cut else begin for p, begin in begins.items()}
    async for portion in records_between(reader, begins, upto):
        for partition, record in portion:
            if (tag := tag_of(record)) is not None:
                times.setdefault(partition, []).append(tag.time_ms)
    lines = []
    for partition in cut:
        rows = await session.rows(
            f"SELECT bucket FROM {LIVE.rollups} WHERE kafka_partition = {partition} "
            "ORDER BY bucket LIMIT 1"
        )
        if not rows:
            if not await session.rows(
                f"SELECT 1 FROM {LIVE.offsets} WHERE kafka_partition = {partition}"
            ):
                lines.append(
                    f"partition {partition}: the log begins at offset {begins[partition]}, and "
                    "the tables are empty: what came before is lost"
                )
            continue
        oldest = int(rows[0][0])
        first = minute_of(median_low(times[partition])) if partition in times else None
        if first is None or oldest <= first:
            until = "all of them" if first is None else f"up to {format_bucket(first)}"
            lines.append(
                f"partition {partition}: the log begins at offset {begins[partition]}, and the "
                f"tables hold minutes from {format_bucket(oldest)}, of which {until} would be "
                "lost or short"
            )
    return lines
