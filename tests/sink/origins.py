"""Batches of tags with different origins and hours, for tests about names."""

import json

from actors.aggregates.batch import Batch
from actors.aggregates.ports import Position
from serve_app.core.tag import decode_timed_tag
from serve_app.core.timestamps import format_tag_time
from tests.tags import new_tag

FIRST_HOUR = 457_248
"""Epoch hour; that of 2022-03-01T00:00:00."""
START = Position("a" * 32, 0, None)


def batch_of(*origins: str, hour: int = 0) -> Batch:
    """One tag of each origin, in the ``hour``-th hour."""
    time = format_tag_time((FIRST_HOUR + hour) * 3_600_000, fraction=True)
    batch = Batch()
    for origin in origins:
        body = json.dumps(new_tag("c", time, origin=origin)).encode()
        batch.add(*decode_timed_tag(body))
    return batch


def after(position: Position, tags: int) -> Position:
    """The position so many tags later."""
    return Position(position.topic_id, position.next_offset + tags, position.watermark_ms)
