"""Which hours of event time are kept: a rule on how many tags each hour holds.

"Older than a day before the newest tag" cannot be taken literally: one tag dated years ahead would
make the day disappear. A clock cannot help, as event time may be in any year and run faster than
the clock. So event time is judged by the stored tags. The tables are kept from
an hour on if

- a tenth of all stored tags, and a minimum, are newer by a day or more (`newest_hour`), and
- this hour and the 24 after it are *even*: each holds at least a tenth of their average.

For event time with holes in it, the 50 fullest hours from this one on are even, and half of all
stored tags are newer by a day or more.

At a steady rate, 27 to 28 hours are kept. Tags of one wrong date fill one hour, however many they
are; to make anything disappear too early takes a day without a hole that outweighs a tenth of what
is stored, or scattered dates that outweigh half of it. A slow stream, or one after a burst, is
retained late but surely, and what is kept meanwhile is less than ten times what has come since.

Tags dated ahead stay stored for as long as event time has not come there, and those of a clock that
is always wrong would outweigh everything in the end. So they *fade*: whenever hours are dropped,
what lies more than a day ahead counts less by the share of all tags that is dropped (`faded`). So
each counts for about as long as a tag of the right date. Late tags, of hours that are gone, count
in the oldest hour that is kept, for the same balance (``mysql_sink``).

The tags by hour are stored beside each partition's offset and move with it in one transaction, and
they fade in the one that says which hours are kept. So they are the same for all actors, and
survive restarts.
"""

import json
from bisect import insort
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from itertools import pairwise
from typing import Final

KEPT_HOURS: Final = 24
"""Of event time before the newest hour (docs/contract.md)."""
_SHARE: Final = 10
"""A tenth of the stored tags must have reached an hour for it to be the newest."""
_BUSY_SHARE: Final = 100
_EVENNESS: Final = 10
_SCATTERED_HOURS: Final = 2 * (KEPT_HOURS + 1)
"""Twice a day, so that some wrong hours among them do no harm."""
REMEMBERED_HOURS: Final = 2_500
"""Of one partition: 55 kB of text at most, normally 500 bytes."""

HourTags = Mapping[int, int]
"""Epoch hour of event time → tags counted in it."""


def newest_hour(tags: HourTags, min_tags: int, share: int = _SHARE) -> int | None:
    """The newest hour that is reached by one tag in ``share``, and by at least ``min_tags``."""
    enough = max(min_tags, -(-sum(tags.values()) // share))
    reached = 0
    for hour in sorted(tags, reverse=True):
        reached += tags[hour]
        if reached >= enough:
            return hour
    return None


def busy_hours(tags: HourTags, min_tags: int) -> list[int]:
    """Hours worth a table partition: the newest, and those with a hundredth of all tags.

    Each with at least ``min_tags`` tags. At most 101, those with the most tags first.
    """
    enough = max(min_tags, -(-sum(tags.values()) // _BUSY_SHARE))
    busy = {hour for hour, number in tags.items() if number >= enough}
    newest = newest_hour(tags, min_tags)
    if newest is not None:
        busy.add(newest)
    return sorted(busy, key=lambda hour: (-tags[hour], hour))


def first_kept_hour(tags: HourTags, min_tags: int) -> int:
    """Everything before this hour may be dropped; 0 while nothing may."""
    newest = newest_hour(tags, min_tags)
    if newest is None:
        return 0
    limit = newest - KEPT_HOURS
    half_way = newest_hour(tags, min_tags, 2)
    scattered_limit = -1 if half_way is None else half_way - KEPT_HOURS
    hours = sorted(tags, reverse=True)
    since: list[int] = []
    """Tags of the hours from ``first`` on, ascending."""
    at = 0
    for first in (limit, *(hour for hour in hours if hour < limit)):
        while at < len(hours) and hours[at] >= first:
            insort(since, tags[hours[at]])
            at += 1
        day = [tags.get(hour, 0) for hour in range(first, first + KEPT_HOURS + 1)]
        scattered = since[-_SCATTERED_HOURS:] if first <= scattered_limit else []
        if _even(day) or (len(scattered) == _SCATTERED_HOURS and _even(scattered)):
            return max(0, first)
    return 0


def _even(tags: Sequence[int]) -> bool:
    return min(tags) > 0 and min(tags) * len(tags) * _EVENNESS >= sum(tags)


def merged(*parts: HourTags) -> dict[int, int]:
    """The sums of all ``parts``."""
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def remembered(tags: HourTags, first_kept: int, growing: Container[int] = ()) -> dict[int, int]:
    """``tags`` without the hours that are gone, in at most `REMEMBERED_HOURS`.

    So the row stays small whatever times come in. Neighbours with the fewest tags together become
    one, which is the older of the two: nothing is dropped sooner for it. Hours that are ``growing``
    come last, as they seem small.
    """
    kept = {hour: number for hour, number in tags.items() if hour >= first_kept}
    while (surplus := len(kept) - REMEMBERED_HOURS) > 0:
        pairs = [
            (newer in growing, kept[older] + kept[newer], older, newer)
            for older, newer in pairwise(sorted(kept))
        ]
        joined: set[int] = set()
        # Half of them at a time: after many small ones were joined there may be smaller pairs.
        for _, _, older, newer in sorted(pairs)[: -(-len(pairs) // 2)]:
            if surplus > 0 and joined.isdisjoint((older, newer)):
                kept[older] += kept.pop(newer)
                joined |= {older, newer}
                surplus -= 1
    return kept


def faded(parts: Mapping[int, HourTags], first_kept: int) -> dict[int, HourTags]:
    """Tags by hour of each partition once the hours before ``first_kept`` are dropped.

    What lies more than a day after the newest hour of all becomes less by the share that is gone.
    """
    total = merged(*parts.values())
    number = sum(total.values())
    left = sum(tags for hour, tags in total.items() if hour >= first_kept)
    # Without a minimum: of a slow stream, that would lie days before its newest tags.
    newest = newest_hour(total, 1)

    def fade(hour: int, tags: int) -> int:
        ahead = newest is not None and hour > newest + KEPT_HOURS
        return tags * left // number if ahead else tags

    return {
        part: {hour: n for hour in tags if hour >= first_kept and (n := fade(hour, tags[hour])) > 0}
        for part, tags in parts.items()
    }


def encode(tags: HourTags) -> str:
    """As stored: a JSON object, hours in order."""
    return json.dumps({str(hour): tags[hour] for hour in sorted(tags)}, separators=(",", ":"))


def decode(text: str | None) -> dict[int, int]:
    """What `encode` made; nothing stored yet is no hour at all."""
    return {int(hour): int(number) for hour, number in json.loads(text or "{}").items()}
