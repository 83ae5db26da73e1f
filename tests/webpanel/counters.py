"""The counters that a subscription shows, and the score."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tests.webpanel.connections import Failure
from tests.webpanel.profile_judge import Verdict


@dataclass(slots=True)
class Requests:
    """Outcomes of the requests of one kind.

    `dropped`: no answer in time with the right status, which is 204 for a tag and 200 for a query.
    """

    sent: int = 0
    status_2xx: int = 0
    status_4xx: int = 0
    status_5xx: int = 0
    status_other: int = 0
    connect: int = 0
    read_timeout: int = 0
    other: int = 0
    dropped: int = 0

    def answered(self, status: int) -> None:
        """Count a status."""
        if 200 <= status < 300:
            self.status_2xx += 1
        elif 400 <= status < 500:
            self.status_4xx += 1
        elif 500 <= status < 600:
            self.status_5xx += 1
        else:
            self.status_other += 1

    def failed(self, failure: Failure) -> None:
        """Count a request without an answer."""
        self.dropped += 1
        if failure is Failure.CONNECT:
            self.connect += 1
        elif failure is Failure.READ_TIMEOUT:
            self.read_timeout += 1
        else:
            self.other += 1


@dataclass(slots=True)
class Verdicts:
    """Judged answers of one kind of query.

    `ok_loose`: the part of `ok` that is right only because dropped tags may be counted or not.
    `empty`: no tag at all where there must be some. `unanswered`: the query was dropped.
    `not_judged`: due by the ratio of queries to tags, but not possible to ask.
    """

    ok: int = 0
    ok_loose: int = 0
    wrong: int = 0
    empty: int = 0
    unanswered: int = 0
    not_judged: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one verdict."""
        if verdict is Verdict.WRONG:
            self.wrong += 1
        elif verdict is Verdict.EMPTY:
            self.empty += 1
        else:
            self.ok += 1
            self.ok_loose += verdict is Verdict.OK_LOOSE

    @property
    def right_percent(self) -> float:
        """Share of right answers among all queries sent; 0 before the first one."""
        asked = self.ok + self.wrong + self.empty + self.unanswered
        return 100.0 * self.ok / asked if asked else 0.0


@dataclass(slots=True)
class Counters:
    """All counters of a subscription."""

    state: str = "new"
    elapsed_s: float = 0.0
    total_tags: int = 0
    tags: Requests = field(default_factory=Requests)
    profiles: Requests = field(default_factory=Requests)
    aggregates: Requests = field(default_factory=Requests)
    profile_answers: Verdicts = field(default_factory=Verdicts)
    aggregate_answers: Verdicts = field(default_factory=Verdicts)

    @property
    def kinds(self) -> tuple[Requests, Requests, Requests]:
        """Tags, profiles, aggregates."""
        return self.tags, self.profiles, self.aggregates

    @property
    def progress_percent(self) -> float:
        """Share of the stream's tags that were sent."""
        return 100.0 * self.tags.sent / self.total_tags if self.total_tags else 0.0

    @property
    def score(self) -> float:
        """(Right profiles in % + right aggregates in %) x progress in %: at most 20,000."""
        shares = self.profile_answers.right_percent + self.aggregate_answers.right_percent
        return shares * self.progress_percent

    @property
    def dropped(self) -> int:
        """Dropped requests of all kinds."""
        return sum(kind.dropped for kind in self.kinds)

    @property
    def wrong(self) -> int:
        """Wrong answers to either query."""
        answers = self.profile_answers, self.aggregate_answers
        return sum(answer.wrong + answer.empty for answer in answers)

    @property
    def flawless(self) -> bool:
        """Everything was sent, nothing dropped, nothing wrong."""
        return self.tags.sent == self.total_tags and not self.dropped and not self.wrong

    def as_json(self) -> dict[str, Any]:
        """The counters and what is derived from them, for the report."""
        return {
            **asdict(self),
            "progress_percent": round(self.progress_percent, 3),
            "score": round(self.score, 2),
            "profiles_right_percent": round(self.profile_answers.right_percent, 3),
            "aggregates_right_percent": round(self.aggregate_answers.right_percent, 3),
            "dropped": self.dropped,
            "wrong": self.wrong,
            "flawless": self.flawless,
        }
