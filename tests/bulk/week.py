"""``python -m tests.bulk.week TAGS``: append a week's stream until the log holds ``TAGS`` tags.

The Web Panel's tags of a million cookies, thinner: 1,200 a minute of event time. One of fifty has
an origin of its day alone, as campaigns come and go. Each hour has a seed of its own, so that any
can be made alone.
"""

import asyncio
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Final

from serve_app.core.settings import Settings
from tests.bulk.hours import BLOCK_TAGS, START_MS
from tests.bulk.log import fill
from tests.webpanel import catalogue as shop
from tests.webpanel.stream import origin_of, tag_codes, tag_json

MINUTE_TAGS: Final = 1_200
HOUR_TAGS: Final = 60 * MINUTE_TAGS
DAY_TAGS: Final = 24 * HOUR_TAGS
CAMPAIGNS: Final = 200
"""Origins of each day."""
_STEP_MS: Final = 60_000 // MINUTE_TAGS
_CAMPAIGN_EVERY: Final = 50


def bodies(first: int, stop: int) -> Iterator[bytes]:
    """Tags ``first`` to ``stop`` (exclusive) of the week, as bodies."""
    for hour in range(first // HOUR_TAGS, -(-stop // HOUR_TAGS)):
        begin = hour * HOUR_TAGS
        here = range(max(first, begin), min(stop, begin + HOUR_TAGS))
        codes = islice(tag_codes(10_000 + hour), here.start - begin, here.stop - begin)
        for number, code in zip(here, codes, strict=True):
            text = tag_json(START_MS + number * _STEP_MS, code)
            if number % _CAMPAIGN_EVERY == 0:
                campaign = f"DAY_{number // DAY_TAGS}_{number // _CAMPAIGN_EVERY % CAMPAIGNS}"
                usual = shop.ORIGINS[origin_of(code)]
                text = text.replace(f'"origin":"{usual}"', f'"origin":"{campaign}"')
            yield text.encode()


def blocks(first: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
    """As `tests.bulk.log.Blocks`; each begins at a multiple of the number of partitions."""
    at = first // BLOCK_TAGS * BLOCK_TAGS
    stream = bodies(at, stop)
    while block := list(islice(stream, BLOCK_TAGS)):
        yield at, block
        at += len(block)


if __name__ == "__main__":
    asyncio.run(fill(Settings(), int(sys.argv[1]), blocks))
