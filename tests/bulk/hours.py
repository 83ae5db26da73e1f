"""Hours of the Web Panel's stream, each with its own seed, so that any can be made alone.

Hour ``h`` is what ``tests.webpanel.stream`` gives for seed ``h``, dated from hour ``h`` of the
day on, 1 ms of event time per tag. Tags go to the partitions in turn, as on the platform, so the
offset of a record identifies its tag, and missing records can be added at any time.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from tests.webpanel.eventtime import parse_event_time
from tests.webpanel.stream import tag_codes, tag_json

HOUR_TAGS: Final = 3_600_000
MINUTE_TAGS: Final = 60_000
PARTITIONS: Final = 3
BLOCK_TAGS: Final = 9_216
"""Tags per block: a batch of about 800 kB for each partition."""
START_MS: Final = parse_event_time("2022-03-01T00:00:00")
START_MINUTE: Final = START_MS // 60_000


def hour_codes(hour: int, first: int = 0, stop: int = HOUR_TAGS) -> Iterator[tuple[int, int]]:
    """(event time in ms, code) of tags ``first`` to ``stop`` (exclusive) of an hour."""
    time_ms = START_MS + hour * HOUR_TAGS + first
    return enumerate(islice(tag_codes(hour), first, stop), time_ms)


def hour_bodies(hour: int, first: int = 0, stop: int = HOUR_TAGS) -> Iterator[bytes]:
    """The same tags as bodies, as the Web Panel would send them."""
    return (tag_json(time_ms, code).encode() for time_ms, code in hour_codes(hour, first, stop))


def partition_end(tags: int, partition: int) -> int:
    """End offset of a partition once the log holds the first ``tags`` of the stream."""
    return (tags - partition + PARTITIONS - 1) // PARTITIONS
