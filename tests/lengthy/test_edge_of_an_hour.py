"""Where one hour of the stream in bulk ends: 3.6 million tags have to be made to get there."""

import json

from tests.bulk.hours import HOUR_TAGS, hour_bodies
from tests.bulk.log import blocks


def test_the_next_hour_is_another_stream_an_hour_later() -> None:
    edge = list(blocks(HOUR_TAGS - 1, HOUR_TAGS + 2))
    last, first = json.loads(edge[-2][1][-1]), json.loads(edge[-1][1][0])
    assert (last["time"], first["time"]) == ("2022-03-01T00:59:59.999Z", "2022-03-01T01:00:00Z")
    assert edge[-1][1] == list(hour_bodies(1, 0, 2))
    (one,), (other,) = hour_bodies(0, 0, 1), hour_bodies(1, 0, 1)
    assert one[40:] != other[40:]
