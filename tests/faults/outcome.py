"""The outcome of each tag of a subscription, one byte per tag; the tags come from the seed."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.webpanel.connections import Failure
from tests.webpanel.options import SubscriptionOptions
from tests.webpanel.stream import tag_codes, tag_json

UNSENT, ACKNOWLEDGED, REFUSED, UNKNOWN = range(4)
"""REFUSED: nothing was stored (no connection, 4xx, 503). UNKNOWN: sent, without an answer."""


def outcome_of(answer: int | Failure) -> int:
    """Outcome by status, or by the kind of failure (docs/architecture.md, I4)."""
    if answer == 204:
        return ACKNOWLEDGED
    if answer is Failure.CONNECT or answer == 503:
        return REFUSED
    if isinstance(answer, int) and 400 <= answer < 500:
        return REFUSED
    return UNKNOWN


@dataclass(frozen=True)
class SentTag:
    """One tag as it was sent."""

    body: bytes
    ms: int
    outcome: int


def sent_tags(options: SubscriptionOptions, outcomes: bytes) -> Iterator[SentTag]:
    """The sent tags of a subscription with their outcomes."""
    for index, (code, outcome) in enumerate(zip(tag_codes(options.seed), outcomes, strict=False)):
        if outcome != UNSENT:
            ms = options.event_ms(index)
            yield SentTag(tag_json(ms, code).encode(), ms, outcome)
