"""A sample of minutes against the independent oracle."""

import json
from collections.abc import Iterable
from random import Random
from typing import Final

import msgspec

from serve_app.core.clock import SystemClock
from serve_app.core.deadline import Deadline
from serve_app.core.query import AggregateQuery
from serve_app.core.settings import Settings
from serve_app.freshness import FreshAggregates
from tests.bulk.hours import HOUR_TAGS, MINUTE_TAGS, START_MINUTE, hour_bodies
from tests.bulk.questions import combinations, fresh_aggregates
from tests.oracle import Oracle
from tests.webpanel.eventtime import minute_time

ACTIONS: Final = ("VIEW", "BUY")


async def differences(stores: Settings, hour: int, tags: int, sample: int = 1) -> list[str]:
    """Differences between tables and oracle in some minutes of ``hour`` (from 0).

    ``tags``: tags of the hour in the log. ``sample``: minutes besides the last one.
    """
    minutes = range(-(-min(tags, HOUR_TAGS) // MINUTE_TAGS))
    # The last minute, which may be incomplete, and others.
    *others, last = minutes
    chosen = [*Random(hour).sample(others, min(sample, len(others))), last]
    found = []
    async with fresh_aggregates(stores) as fresh:
        for at in chosen:
            stop = min(tags, (at + 1) * MINUTE_TAGS)
            bodies = hour_bodies(hour, at * MINUTE_TAGS, stop)
            found += await differences_of(fresh, START_MINUTE + hour * 60 + at, bodies)
    return found


async def differences_of(fresh: FreshAggregates, minute: int, bodies: Iterable[bytes]) -> list[str]:
    """Differences of one minute, whose tags are ``bodies``."""
    oracle = Oracle(json.loads(body) for body in bodies)
    time_range = f"{minute_time(minute)}_{minute_time(minute + 1)}"
    found = []
    for number, filters in enumerate(combinations()):
        action = ACTIONS[number % 2]
        query = AggregateQuery(minute, minute + 1, action, ("COUNT", "SUM_PRICE"), filters.values)
        answer = await fresh.answer(query, Deadline.after(55, SystemClock()))
        got = json.loads(msgspec.json.encode(answer))
        wanted = oracle.aggregates(
            time_range, action, ["COUNT", "SUM_PRICE"], **dict(filters.values)
        )
        if got != wanted:
            found.append(f"{time_range} {action} {filters}: {got} and not {wanted}")
    return found
