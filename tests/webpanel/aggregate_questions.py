"""Chooses aggregate queries, and works out the rows they must return."""

import json
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from tests.webpanel import catalogue as shop
from tests.webpanel.aggregate_oracle import AggregateOracle, Bounds, Filter
from tests.webpanel.eventtime import minute_time

_AGGREGATES = (
    ("COUNT", "SUM_PRICE"),
    ("SUM_PRICE", "COUNT"),
    ("COUNT",),
    ("SUM_PRICE",),
)


@dataclass(slots=True, frozen=True)
class AggregateQuestion:
    """An aggregate query and its expected answer.

    Attributes:
        path: request target.
        columns: the answer's columns.
        keys: first values of each row (bucket, action, filters), oldest first.
        aggregates: names of the remaining columns as in the query.
        bounds: what each row may hold.
        expected: JSON of the answer if the server has all uncertain tags too.
    """

    path: str
    columns: list[str]
    keys: list[list[str]]
    aggregates: tuple[str, ...]
    bounds: list[Bounds]
    expected: bytes


def _named(chosen: Filter) -> list[tuple[str, str]]:
    """(parameter, value) of a filter, in the order of the contract."""
    named = []
    if chosen.origin is not None:
        named.append(("origin", shop.ORIGINS[chosen.origin]))
    if chosen.brand is not None:
        named.append(("brand_id", shop.BRANDS[chosen.brand]))
    if chosen.category is not None:
        named.append(("category_id", shop.CATEGORIES[chosen.category]))
    return named


class AggregateQuestions:
    """Generates the questions from its own seed."""

    def __init__(self, seed: int, oracle: AggregateOracle) -> None:
        self._rng = Random(f"web panel aggregates {seed}")
        self._oracle = oracle
        self._newest: int | None = None

    def next(self, oldest: int, newest: int) -> AggregateQuestion:
        """The next question about minutes oldest ... newest, all of which are due.

        If only one minute is new, the question is about that one. Otherwise half of the questions
        are about the newest minute alone, a quarter end with it, an eighth begin with the oldest
        one, and an eighth are anywhere.
        """
        rng = self._rng
        first = last = newest
        shape = rng.random()
        only_new = self._newest is None or newest == self._newest + 1
        if not only_new and shape > 0.875:
            first = oldest
            last = min(newest, oldest + rng.randrange(10))
        elif not only_new and shape > 0.5:
            if shape > 0.75:
                last = rng.randrange(oldest, newest + 1)
            first = max(oldest, last + 1 - rng.randrange(1, 11))
        self._newest = newest
        number = rng.randrange(len(self._oracle.filters)) if rng.random() > 0.05 else 0
        return self._question(
            range(first, last + 1), number, rng.randrange(2), rng.choice(_AGGREGATES)
        )

    def _question(
        self, minutes: range, number: int, action: int, aggregates: tuple[str, ...]
    ) -> AggregateQuestion:
        filters = _named(self._oracle.filters[number])
        name = shop.ACTIONS[action]
        span = f"{minute_time(minutes.start)}_{minute_time(minutes.stop)}"
        query = [("action", name), *filters, *(("aggregates", one) for one in aggregates)]
        text = "".join(f"&{key}={quote(value)}" for key, value in query)
        columns = ["1m_bucket", "action", *(key for key, _ in filters)]
        keys = [[minute_time(minute), name, *(value for _, value in filters)] for minute in minutes]
        bounds = [self._oracle.bounds(minute, number, action) for minute in minutes]
        rows = [
            key
            + [
                str(row.count + row.loose_count if one == "COUNT" else row.total + row.loose_total)
                for one in aggregates
            ]
            for key, row in zip(keys, bounds, strict=True)
        ]
        columns += [one.lower() for one in aggregates]
        expected = json.dumps({"columns": columns, "rows": rows}, separators=(",", ":"))
        return AggregateQuestion(
            path=f"/aggregates?time_range={span}{text}",
            columns=columns,
            keys=keys,
            aggregates=aggregates,
            bounds=bounds,
            expected=expected.encode(),
        )
