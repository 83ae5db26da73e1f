"""The documents of the Subscription API."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tests.webpanel.eventtime import tag_time
from tests.webpanel.options import STREAM_START_MS, SubscriptionOptions

State = Literal["starting", "running", "draining", "paused", "finished", "closed", "broken"]
ACTIVE: tuple[State, ...] = ("starting", "running", "draining", "paused")

_default = SubscriptionOptions()


class NewSubscription(BaseModel):
    """Parameters of a subscription. The same seed gives the same tags."""

    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[\w.:-]+$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = _default.port
    rate: Annotated[
        float, Field(gt=0, le=5000, description="User tags a second; queries come on top.")
    ] = _default.rate
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = _default.seed
    duration_s: Annotated[
        float,
        Field(gt=0, le=7 * 86_400, description="Of the stream; the drain comes on top."),
    ] = _default.duration_s
    step_ms: Annotated[
        float | None,
        Field(
            ge=1,
            le=3_600_000,
            description="Event time between two tags. Default: as fast as the clock, at least 1.",
        ),
    ] = None
    start: Annotated[
        datetime | None,
        Field(
            description="Event time of the first tag. Default: the whole minute after the newest "
            "tag in the platform's /case3/status, since the same stream sent twice into kept "
            "stores gives wrong answers by construction."
        ),
    ] = None
    profile_lag_s: Annotated[float, Field(ge=0, le=600)] = _default.profile_lag_s
    aggregate_lag_s: Annotated[float, Field(ge=0, le=600)] = _default.aggregate_lag_s
    aggregate_interval_s: Annotated[float, Field(ge=0.01, le=60)] = _default.aggregate_interval_s
    request_timeout_s: Annotated[float, Field(gt=0, le=60)] = _default.request_timeout_s
    drain: Annotated[
        bool, Field(description="After the stream, ask what becomes due for its last tags.")
    ] = True
    debug: Annotated[
        bool, Field(description="Send the expected answer as the body of queries.")
    ] = True

    def options(self, start_ms: int, token: str) -> SubscriptionOptions:
        """For the engine."""
        return SubscriptionOptions(
            host=self.host,
            port=self.port,
            rate=self.rate,
            duration_s=self.duration_s,
            seed=self.seed,
            step_ms=self.step_ms or max(1.0, 1000 / self.rate),
            start_ms=start_ms,
            profile_lag_s=self.profile_lag_s,
            aggregate_lag_s=self.aggregate_lag_s,
            aggregate_interval_s=self.aggregate_interval_s,
            request_timeout_s=self.request_timeout_s,
            drain=self.drain,
            debug=self.debug,
            token=token,
        )


class Parameters(BaseModel):
    """The effective parameters of a subscription."""

    host: str
    port: int
    rate: float
    seed: int
    duration_s: float
    step_ms: float
    start: str
    total_tags: int
    debug: bool
    drain: bool

    @classmethod
    def of(cls, options: SubscriptionOptions) -> "Parameters":
        """Convert the engine's options."""
        return cls(
            **{name: getattr(options, name) for name in cls.model_fields if name not in ("start",)},
            start=tag_time(options.start_ms),
        )


class SubscriptionDocument(BaseModel):
    """A subscription: its parameters and state."""

    id: str
    state: State
    error: str | None = Field(default=None, description="The error, if it is `broken`.")
    started_at: str
    ended_at: str | None = None
    parameters: Parameters
    counters: dict[str, Any] | None = Field(
        default=None, description="As in the terminal version's report."
    )
    sender: dict[str, float] | None = Field(
        default=None, description="The sending process: its own lag (ms) and processor time (s)."
    )


class WrongAnswer(BaseModel):
    """A wrong answer with both bodies."""

    number: int = Field(description="Number of the wrong answer within the subscription, from 1.")
    at_s: float
    verdict: Literal["wrong", "empty"]
    request: str
    difference: str = Field(description="The difference as text.")
    expected: str
    actual: str
    curl: str = Field(description="A curl command that repeats the query.")


class WrongAnswers(BaseModel):
    """The latest wrong answers, newest first, without bodies."""

    total: int
    kept: list[dict[str, Any]]


class Exchange(BaseModel):
    """A request of the explorer and the platform's answer, unchanged."""

    curl: str
    status: int
    took_ms: float
    body: Any


DEFAULT_START_MS = STREAM_START_MS
