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

The tags by hour are stored beside each partition's offset and move with it in one transaction. So
they are exact, the same for all actors, and survive restarts.
"""

import json
from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
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
"""Of one partition, those with the most tags: 55 kB of text at most, normally 500 bytes."""

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


def remembered(tags: HourTags, first_kept: int) -> dict[int, int]:
    """``tags`` without the hours that are gone, and at most `REMEMBERED_HOURS`, the largest.

    So the row stays small whatever times come in. A forgotten hour only weakens the case for
    dropping others: nothing is dropped sooner for it.
    """
    kept = [(number, hour) for hour, number in tags.items() if hour >= first_kept]
    kept.sort(reverse=True)
    return {hour: number for number, hour in kept[:REMEMBERED_HOURS]}


def encode(tags: HourTags) -> str:
    """As stored: a JSON object, hours in order."""
    return json.dumps({str(hour): tags[hour] for hour in sorted(tags)}, separators=(",", ":"))


def decode(text: str | None) -> dict[int, int]:
    """What `encode` made; nothing stored yet is no hour at all."""
    return {int(hour): int(number) for hour, number in json.loads(text or "{}").items()}
