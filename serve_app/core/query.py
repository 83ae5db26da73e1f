"""The two queries: their URL parameters and the rules for them.

A parameter that is given twice where one is meant, or that breaks a rule, is refused by name;
parameters that the contract does not know are ignored, as unknown fields of a tag are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qsl

from serve_app.core.bucket import MINUTE_MS
from serve_app.core.errors import RuleBroken, Unreadable
from serve_app.core.tag import ACTIONS, MAX_NAME_LENGTH
from serve_app.core.timestamps import epoch_seconds, parse_ms

DEFAULT_LIMIT: Final = 200
KEPT_PER_ACTION: Final = 200
"""Tags kept per cookie and action: the newest by event time."""
MAX_RANGE_MINUTES: Final = 10

Aggregate = Literal["COUNT", "SUM_PRICE"]
AGGREGATES: Final[tuple[Aggregate, ...]] = ("COUNT", "SUM_PRICE")
FILTERS: Final = ("origin", "brand_id", "category_id")
"""In the order of the answer's columns."""

Parameters = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class ProfileQuery:
    """Tags of one cookie with ``from_ms <= time < to_ms``, the newest ``limit`` of each action."""

    cookie: str
    from_ms: int
    to_ms: int
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class AggregateQuery:
    """Sums over the minutes ``from_minute <= minute < to_minute``.

    ``filters`` holds (name, value) of those that the query gave, in the order of `FILTERS`.
    """

    from_minute: int
    to_minute: int
    action: str
    aggregates: tuple[Aggregate, ...]
    filters: tuple[tuple[str, str], ...] = ()

    @property
    def minutes(self) -> range:
        """Epoch minutes, oldest first."""
        return range(self.from_minute, self.to_minute)


def parse_parameters(query_string: bytes) -> dict[str, list[str]]:
    """Percent-decoded values of each parameter, in the order given.

    Raises:
        Unreadable: not ASCII, or the percent-encoding does not hold UTF-8.
    """
    values: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Unreadable(f"the query string cannot be read: {error}") from None
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def parse_profile_query(cookie: str, parameters: Parameters) -> ProfileQuery:
    """The query for ``cookie``.

    Raises:
        RuleBroken: a parameter is missing or breaks a rule; the error names both.
    """
    _check_name("cookie", cookie)
    from_text, to_text = _time_range(parameters)
    try:
        from_ms, to_ms = parse_ms(from_text), parse_ms(to_text)
    except ValueError as error:
        raise RuleBroken(f"time_range: {error}", field="time_range") from None
    _check_order(from_ms, to_ms)
    return ProfileQuery(cookie, from_ms, to_ms, _limit(parameters))


def parse_aggregate_query(parameters: Parameters) -> AggregateQuery:
    """The query that the parameters ask.

    Raises:
        RuleBroken: a parameter is missing or breaks a rule; the error names both.
    """
    from_text, to_text = _time_range(parameters)
    try:
        from_ms, to_ms = epoch_seconds(from_text) * 1000, epoch_seconds(to_text) * 1000
    except ValueError as error:
        raise RuleBroken(f"time_range: {error}", field="time_range") from None
    if from_ms % MINUTE_MS or to_ms % MINUTE_MS:
        raise RuleBroken("time_range: both ends must be whole minutes", field="time_range")
    _check_order(from_ms, to_ms)
    if to_ms - from_ms > MAX_RANGE_MINUTES * MINUTE_MS:
        raise RuleBroken(
            f"time_range: must span at most {MAX_RANGE_MINUTES} minutes", field="time_range"
        )
    action = _one(parameters, "action")
    if action not in ACTIONS:
        raise RuleBroken(f"action: must be one of {', '.join(ACTIONS)}", field="action")
    return AggregateQuery(
        from_ms // MINUTE_MS,
        to_ms // MINUTE_MS,
        action,
        tuple(_aggregates(parameters.get("aggregates", ()))),
        tuple(_filters(parameters)),
    )


def _one(parameters: Parameters, name: str) -> str:
    values = parameters.get(name)
    if not values:
        raise RuleBroken(f"{name}: required parameter is missing", field=name)
    if len(values) > 1:
        raise RuleBroken(f"{name}: must be given once, not {len(values)} times", field=name)
    return values[0]


def _time_range(parameters: Parameters) -> tuple[str, str]:
    from_text, separator, to_text = _one(parameters, "time_range").partition("_")
    if not separator:
        raise RuleBroken("time_range: must be <from>_<to>", field="time_range")
    return from_text, to_text


def _check_order(from_ms: int, to_ms: int) -> None:
    if from_ms > to_ms:
        raise RuleBroken("time_range: <from> must not be after <to>", field="time_range")


def _check_name(name: str, value: str) -> None:
    if not 1 <= len(value) <= MAX_NAME_LENGTH:
        raise RuleBroken(f"{name}: must be 1 to {MAX_NAME_LENGTH} characters long", field=name)


def _limit(parameters: Parameters) -> int:
    if "limit" not in parameters:
        return DEFAULT_LIMIT
    text = _one(parameters, "limit")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RuleBroken("limit: must be a whole number, 0 or more", field="limit")
    return int(text)


def _aggregates(values: Iterable[str]) -> Iterable[Aggregate]:
    found = False
    for value in values:
        found = True
        if value == "COUNT":
            yield "COUNT"
        elif value == "SUM_PRICE":
            yield "SUM_PRICE"
        else:
            raise RuleBroken(
                f"aggregates: each must be one of {', '.join(AGGREGATES)}", field="aggregates"
            )
    if not found:
        raise RuleBroken("aggregates: required parameter is missing", field="aggregates")


def _filters(parameters: Parameters) -> Iterable[tuple[str, str]]:
    for name in FILTERS:
        if name in parameters:
            value = _one(parameters, name)
            _check_name(name, value)
            yield name, value
