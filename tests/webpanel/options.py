"""All parameters of a subscription with their defaults."""

from dataclasses import dataclass, field
from math import ceil

from tests.webpanel.eventtime import parse_event_time

STREAM_START_MS = parse_event_time("2022-03-01T00:00:00Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """Parameters of a subscription.

    Attributes:
        host: server's host name or address.
        port: server's port.
        rate: user tags a second (queries come on top).
        duration_s: length of the stream; the drain comes on top.
        seed: the same seed gives the same tags.
        step_ms: event time between successive tags; at least 1, may have a fraction.
        start_ms: event time of the first tag, epoch ms.
        max_tags: stop after this many tags even if the duration allows more.
        profile_lag_s: age at which an accepted tag must be in profiles.
        aggregate_lag_s: age at which an accepted tag must be in aggregates.
        tags_per_profile: one profile query per this many tags.
        tags_per_aggregate: one aggregate query per this many tags.
        aggregate_interval_s: least time between two aggregate queries.
        request_timeout_s: time-out of user tags and of profile queries.
        aggregate_timeout_s: time-out of aggregate queries.
        drain: after the stream, send the queries that cover its last tags.
        debug: send the expected answer as the body of queries.
        watched_cookies: maximum of cookies whose profiles are kept and queried.
        connections: maximum of open connections.
        token: the API's bearer token; empty where it asks for none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    rate: float = 200.0
    duration_s: float = 240.0
    seed: int = 1
    step_ms: float = 1.0
    start_ms: int = STREAM_START_MS
    max_tags: int | None = None
    profile_lag_s: float = 10.0
    aggregate_lag_s: float = 60.0
    tags_per_profile: int = 10
    tags_per_aggregate: int = 1000
    aggregate_interval_s: float = 1.0
    request_timeout_s: float = 0.2
    aggregate_timeout_s: float = 60.0
    drain: bool = True
    debug: bool = True
    watched_cookies: int = 20_000
    connections: int = 500
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ValueError: names the parameter and the rule.
        """
        if self.step_ms < 1:
            raise ValueError("step must be at least 1 ms: event time has whole milliseconds")
        for name in ("rate", "duration_s", "request_timeout_s", "aggregate_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than 0")
        for name in ("tags_per_profile", "tags_per_aggregate", "connections", "watched_cookies"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def total_tags(self) -> int:
        """User tags of the whole stream."""
        by_time = ceil(self.rate * self.duration_s - 1e-9)
        return by_time if self.max_tags is None else min(by_time, self.max_tags)

    def event_ms(self, index: int) -> int:
        """Event time of the tag with this number (from 0), epoch ms; strictly increasing."""
        return self.start_ms + int(index * self.step_ms)
